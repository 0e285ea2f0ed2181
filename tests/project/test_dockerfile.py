"""What the Dockerfile promises, read from its text: paths, extras, variants, user and health check are really there."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        return [rest for word, rest in self.steps if word == instruction]


def stages(variant: str) -> dict[str, Stage]:
    """The stages by name, with `${VARIANT}` filled in; instructions over several lines are joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.replace("${VARIANT}", variant).partition(" ")
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()
            found[name] = Stage(base, name)
        elif word and found:
            list(found.values())[-1].steps.append((word, rest))
        elif word:
            assert (word, rest) == ("ARG", "VARIANT=cpu")
    return found


def chain(variant: str) -> list[Stage]:
    """The last stage and the stages that it stands on, the lowest last."""
    known = stages(variant)
    links = [list(known.values())[-1]]
    while links[-1].base in known:
        links.append(known[links[-1].base])
    return links


def commands(variant: str) -> list[str]:
    """The shell commands that make the image of a variant, in order."""
    runs = [run for stage in reversed(chain(variant)) for run in stage.arguments("RUN")]
    return [command.strip() for run in runs for command in re.sub(r"--mount=\S+", "", run).split("&&")]


def copied() -> list[str]:
    return [source for rest in stages("cpu")["wheel"].arguments("COPY") for source in rest.split()[:-1]]


VARIANTS = pytest.mark.parametrize(("variant", "image"), [("cpu", "python:3.11"), ("gpu", "nvidia/cuda:")])


@VARIANTS
def test_both_variants_are_reachable(variant, image):
    assert chain(variant)[-1].base.startswith(image)


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_not_ignored(source):
    assert (ROOT / source).exists()
    assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_all_that_the_wheel_is_built_from_is_copied():
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    about = [PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]]
    assert {*shipped, *about, "pyproject.toml", "constraints.txt"} == set(copied())


@pytest.mark.slow
def test_what_is_copied_is_enough_to_build_the_wheel(tmp_path):
    for rest in stages("cpu")["wheel"].arguments("COPY"):
        *sources, place = rest.split()
        for source in map(Path, sources):
            target = tmp_path / "src" / place / ("" if (ROOT / source).is_dir() else source.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile)(ROOT / source, target)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "wheel"),
        str(tmp_path / "src"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "wheel").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
    assert "tightship/recipes/digits.yaml" in held
    assert any(name.endswith("/licenses/LICENSE") for name in held)


def test_the_image_for_the_cpu_holds_the_versions_of_the_lock():
    last = next(command for command in reversed(commands("cpu")) if "pip install" in command)
    assert "-c /wheel/constraints.txt" in last
    assert any(rest == "constraints.txt /wheel/" for rest in stages("cpu")["wheel"].arguments("COPY"))
    torch = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert all(torch in command for command in commands("cpu") if " torch==" in command)


@VARIANTS
def test_the_extras_are_declared(variant, image):
    extras = re.findall(r"\.whl\)\[([\w,]+)\]", " ".join(commands(variant)))
    assert extras
    assert set(",".join(extras).split(",")) <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_images_and_packages_are_pinned(variant):
    known = stages(variant)
    for stage in known.values():
        assert stage.base in known or re.search(r":\d+\.\d+\.\d+", stage.base), stage.base
    installs = [command for command in (*commands(variant), *known["wheel"].arguments("RUN")) if "pip install" in command]
    for command in installs:
        words = command.partition("pip install")[2].partition("--index-url")[0].split()
        for word in (w for w in words if re.match(r"[a-z]", w) and ".whl" not in w):
            assert "==" in word, word


def test_torch_comes_from_the_cpu_index_on_cpu_alone():
    index = "https://download.pytorch.org/whl/cpu"
    assert sum(index in command for command in commands("cpu")) == 1
    assert not any(index in command for command in commands("gpu"))


def test_onnxruntime_for_the_gpu_is_installed_last_and_alone():
    pips = [command for command in commands("gpu") if "/pip " in command]
    assert pips[-2].endswith("uninstall --yes onnxruntime onnxruntime-gpu")
    assert re.search(r"install .*--no-deps onnxruntime-gpu==", pips[-1])


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_no_package_lists_or_caches_are_left(variant):
    for stage in stages(variant).values():
        for run in stage.arguments("RUN"):
            assert "apt-get update" not in run or "rm -rf /var/lib/apt/lists/*" in run
            assert run.count("pip install") == run.count("pip install --no-cache-dir")


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_the_container_does_not_run_as_root(variant):
    user = chain(variant)[0].arguments("USER")[-1]
    assert user not in ("root", "0")
    assert any(command.startswith("useradd") and command.endswith(f" {user}") for command in commands(variant))


def test_the_entry_point_is_the_projects_command():
    assert json.loads(chain("cpu")[0].arguments("ENTRYPOINT")[-1]) == list(PROJECT["project"]["scripts"])


def test_the_health_check_runs_a_command_that_exists():
    _, _, command = chain("cpu")[0].arguments("HEALTHCHECK")[-1].partition("CMD ")
    program, *verbs = json.loads(command)
    module, _, function = PROJECT["project"]["scripts"][program].partition(":")
    code = f"import sys; sys.argv = {[program, *verbs, '--help']}; from {module} import {function}; {function}()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
