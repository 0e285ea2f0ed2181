"""The CI jobs do what they say: the steps of the action and of the GitLab job are run as they are written."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tightship.recipe.sections import GatesConfig
from tightship.reporting import write_views

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "ci"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
SHELL = ("Install", "Run", "Gate")
EXPRESSION = re.compile(r"\$\{\{\s*([^}]+?)\s*\}\}")


class Job:
    """The shell steps of the action in a folder, as a runner would run them."""

    def __init__(self, folder, environment, **inputs):
        self.folder, self.environment = folder, environment
        defaults = {name: entry.get("default", "") for name, entry in ACTION["inputs"].items()}
        self.known = {f"inputs.{name}": value for name, value in {**defaults, **inputs}.items()}
        self.known |= {"github.action_path": str(ROOT), "runner.temp": str(folder / "temp")}
        (folder / "temp").mkdir(exist_ok=True)
        for kind in ("summary", "output", "path"):
            (folder / "temp" / kind).write_text("")

    def fill(self, text):
        """The text with the runner's expressions replaced; one that is unknown is an error."""
        return EXPRESSION.sub(lambda found: self.known[found[1]], str(text))

    def step(self, name, **more):
        """Run a step; its outputs are known to the steps after it."""
        step, temp = STEPS[name], self.folder / "temp"
        given = {key: self.fill(value) for key, value in step.get("env", {}).items()}
        files = {"STEP_SUMMARY": "summary", "OUTPUT": "output", "PATH": "path"}
        given |= {f"GITHUB_{key}": str(temp / file) for key, file in files.items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder, env=self.environment(**{"PATH": path, **given, **more}), capture_output=True, text=True,
        )  # fmt: skip
        for line in (temp / "output").read_text().splitlines():
            key, _, value = line.partition("=")
            self.known[f"steps.{step['id']}.outputs.{key}"] = value
        return done

    @property
    def summary(self):
        """What the job's page shows, without Markdown's backslashes."""
        return (self.folder / "temp" / "summary").read_text().replace("\\", "")


@pytest.fixture
def job(tmp_path, environment, artifact, evidence_of):
    """Makes a job whose run step is done: its folder holds the evidence of an artifact of so many bytes."""
    from dataclasses import replace

    from tightship.gating.evaluate import evaluate

    def make(size=1_000_000, code="0", **inputs):
        reference = artifact("torch-cpu/reference")
        made = replace(artifact(verdict="ship"), bytes=size)
        made = replace(made, gates=evaluate(made, reference, {"size_mb": 2}))
        evidence = evidence_of(reference, made)
        evidence.write(tmp_path / "out" / "evidence.json")
        write_views(evidence, tmp_path / "out")
        (tmp_path / "limits.yaml").write_text("size_mb: 3\nbaseline_size_ratio: 1.1\n")
        started = Job(tmp_path, environment, recipe="recipe.yaml", out="out", **inputs)
        started.known["steps.run.outputs.code"] = code
        return started

    return make


def test_no_input_reaches_a_script_except_through_its_environment():
    for name in SHELL:
        step = STEPS[name]
        assert not EXPRESSION.search(step["run"]), "an input with a quote in it would be run as code"
        for variable in step["env"]:
            assert f"${variable}" in step["run"] or f"${{{variable}" in step["run"], variable


def test_every_input_is_described_and_used_and_every_foreign_action_has_a_version():
    text = (ROOT / "action.yml").read_text()
    for name, entry in ACTION["inputs"].items():
        assert entry["description"]
        assert f"inputs.{name}" in text, name
        assert entry.get("required") or "default" in entry
    uses = [step["uses"] for step in STEPS.values() if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in uses)
    assert [name.partition("@")[0] for name in uses] == ["actions/setup-python", "actions/cache", "actions/upload-artifact"]
    assert "always()" in STEPS["Upload"]["if"]
    for wanted in ("bundles/", "report.html", "gate.xml", "inputs.baseline"):
        assert wanted in STEPS["Upload"]["with"]["path"]


def test_the_scripts_are_bash():
    for name in SHELL:
        assert STEPS[name]["shell"] == "bash"
        done = subprocess.run(["bash", "-n", "-c", STEPS[name]["run"]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_workflow_in_the_docs_gives_the_action_what_it_takes():
    workflow = yaml.safe_load((ROOT / "docs" / "how-to" / "ci" / "github.yml").read_text())
    (job,) = workflow["jobs"].values()
    used = next(step for step in job["steps"] if "tightship" in step["uses"])
    assert set(used["with"]) <= set(ACTION["inputs"])
    assert {name for name, entry in ACTION["inputs"].items() if entry.get("required")} <= set(used["with"])
    assert "matrix.target" in used["with"]["cache-key"]
    assert "matrix.target" in used["with"]["artifact-name"]


def test_the_documents_name_every_limit_and_show_the_lines_of_the_example():
    from tightship.gating.baseline_limits import BASELINE_LIMITS

    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    assert all(f"`{name}`" in page for name in BASELINE_LIMITS)
    assert all(f"`{name}`" in page for name in ACTION["inputs"])
    readme = (EXAMPLE / "README.md").read_text()
    for line in ("tightship run recipe.yaml --out out", "tightship gate out --limits limits.yaml --baseline baseline.json"):
        assert line in readme
        assert line in page
    assert set(yaml.safe_load((EXAMPLE / "limits.yaml").read_text())) <= {*BASELINE_LIMITS, *GatesConfig.model_fields}


def test_a_first_run_makes_the_baseline_and_later_ones_are_held_against_it(job):
    inputs = {"limits": "limits.yaml", "baseline": "base.json", "write-baseline": "missing"}
    first = job(**inputs)
    done = first.step("Gate")
    assert done.returncode == 0, done.stderr
    assert "baseline written: base.json" in first.summary
    assert first.known["steps.gate.outputs.passed"] == "true"
    same = job(**inputs)
    assert same.step("Gate").returncode == 0
    assert "baseline_size_ratio is 1 of" in same.summary
    larger = job(size=2_000_000, **inputs)
    done = larger.step("Gate")
    assert done.returncode == 1
    assert "baseline_size_ratio is 2 of the baseline's, limit at most 1.1" in larger.summary
    assert "Gate of made-up: FAILED, 1 of" in larger.summary
    assert larger.known["steps.gate.outputs.passed"] == "false"
    suite = ElementTree.parse(larger.folder / "out" / "gate.xml").getroot()
    assert (suite.get("failures"), suite.find(".//failure/..").get("name")) == ("1", "baseline_size_ratio")
    accepted = job(size=2_000_000, **(inputs | {"write-baseline": "always"}))
    assert accepted.step("Gate").returncode == 0
    assert job(size=2_000_000, **inputs).step("Gate").returncode == 0


def test_the_summary_says_what_the_terminal_says(job):
    ran = job(limits="limits.yaml")
    done = ran.step("Gate")
    assert done.returncode == 1
    for line in done.stdout.splitlines():
        assert " ".join(line.split()) in ran.summary


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        ({"limits": "limits.yaml"}, 1, "no baseline was given"),
        ({"limits": "limits.yaml", "baseline": "none.json"}, 2, "there is no baseline at none.json"),
        ({"limits": "none.yaml"}, 2, "none.yaml"),
        ({"write-baseline": "missing"}, 2, None),
        ({"write-baseline": "sometimes", "baseline": "b.json"}, 2, None),
        ({"code": "1"}, 1, "Gate of made-up: passed"),
    ],
    ids=str,
)
def test_the_gate_step_fails_where_nothing_can_be_decided(job, inputs, code, said):
    ran = job(**inputs)
    done = ran.step("Gate")
    assert done.returncode == code, done.stdout + done.stderr
    assert said is None or said in ran.summary
    assert said is not None or inputs["write-baseline"] in done.stderr


def test_an_edited_baseline_fails_the_step_and_the_summary_says_so(job):
    job(**{"baseline": "base.json", "write-baseline": "always"}).step("Gate")
    ran = job(limits="limits.yaml", baseline="base.json")
    path = ran.folder / "base.json"
    path.write_text(path.read_text().replace('"bytes": 1000000', '"bytes": 9000000'))
    assert ran.step("Gate").returncode == 2
    assert "was changed after it was written" in ran.summary


def test_a_recipe_that_cannot_run_ends_the_job_with_its_exit_code(tmp_path, environment):
    ran = Job(tmp_path, environment, recipe="none.yaml")
    done = ran.step("Run")
    assert done.returncode == 2
    assert "exit code 2" in ran.summary
    assert ran.known["steps.run.outputs.code"] == "2"


def test_hostile_inputs_are_names_and_not_code(tmp_path, environment):
    ran = Job(tmp_path, environment, recipe='x"; touch hacked; "', out="$(touch hacked)")
    assert ran.step("Run").returncode == 2
    assert not list(tmp_path.glob("**/hacked"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory, environment):
    """What the install step made of this checkout, its libraries borrowed: the path and the variables of later steps."""
    folder = tmp_path_factory.mktemp("install")
    ran = Job(folder, environment, **{"pip-args": "--no-deps --no-build-isolation --no-index"})
    ran.known["github.action_path"] = str(folder / "source")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(".*", "runs", "__pycache__"))
    libraries = str(Path(yaml.__file__).parents[1])
    done = ran.step("Install", PYTHONPATH=libraries)
    assert done.returncode == 0, done.stderr
    (programs,) = (folder / "temp" / "path").read_text().splitlines()
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": libraries}


@pytest.mark.slow
def test_the_install_step_puts_the_checkout_on_the_path(installed, environment):
    given = environment(**installed)
    shown = subprocess.run(["tightship", "--version"], env=given, capture_output=True, text=True)
    assert (shown.returncode, bool(shown.stdout.strip())) == (0, True), shown.stderr
    where = [shutil.which("python", path=installed["PATH"]), "-c", "import export; print(export.__file__)"]
    shown = subprocess.run(where, env=given, capture_output=True, text=True, cwd="/")
    assert not Path(shown.stdout.strip()).is_relative_to(ROOT)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A copy of the example. Times are held against no limit here: other work may run beside the tests."""
    folder = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("ci") / "project", ignore=shutil.ignore_patterns("out", ".*"))
    limits = yaml.safe_load((folder / "limits.yaml").read_text())
    kept = {name: limit for name, limit in limits.items() if name not in ("baseline_latency_ratio", "speedup")}
    (folder / "limits.yaml").write_text(yaml.safe_dump(kept))
    recipe = (folder / "recipe.yaml").read_text().replace(", speedup: 1.2", "")
    recipe = recipe.replace("processes: 5, blocks: 2, block_seconds: 0.1", "processes: 2, blocks: 1, block_seconds: 0.02")
    (folder / "recipe.yaml").write_text(recipe)
    return folder


@pytest.mark.slow
def test_the_example_makes_its_baseline_passes_from_the_store_and_fails_when_it_gets_worse(example, environment, installed):
    inputs = {"recipe": "recipe.yaml", "limits": "limits.yaml", "baseline": "baseline.json", "write-baseline": "missing"}

    def push():
        ran, began = Job(example, environment, **inputs), time.monotonic()
        codes = [ran.step(name, **installed).returncode for name in ("Run", "Gate")]
        return codes, time.monotonic() - began, ran.summary

    codes, _, summary = push()
    assert codes == [0, 0], summary
    assert (example / "baseline.json").is_file()
    codes, seconds, summary = push()
    assert codes == [0, 0], summary
    assert "baseline_accuracy_drop is 0 below" in summary
    assert seconds < 30
    assert list((example / "tightship-out" / "bundles").iterdir())

    gitlab = yaml.safe_load((ROOT / "docs" / "how-to" / "ci" / "gitlab-ci.yml").read_text())["models"]
    given = {"RECIPE": "recipe.yaml", "LIMITS": "limits.yaml", "BASELINE": "baseline.json", "OUT": "out"}
    assert set(given) == set(gitlab["variables"])
    given |= installed
    command = ["bash", "-eo", "pipefail", "-c", "\n".join(gitlab["script"])]
    done = subprocess.run(command, cwd=example, env=environment(**given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ElementTree.parse(example / "out" / "gate.xml").getroot().get("failures") == "0"

    worse = (
        (example / "recipe.yaml")
        .read_text()
        .replace("epochs: 8", "epochs: 1")
        .replace("finetune_epochs: 2", "finetune_epochs: 0")
    )
    (example / "recipe.yaml").write_text(worse)
    codes, _, summary = push()
    assert codes[-1] == 1, summary
    assert re.search(
        r"FAIL onnxruntime-cpu/\S+ baseline_accuracy_drop is 0\.\d+ below the baseline's, limit at most 0.01", summary
    )
    done = subprocess.run(command, cwd=example, env=environment(**given), capture_output=True, text=True)
    assert done.returncode == 1, "the GitLab job"
