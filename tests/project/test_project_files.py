"""What every project has is there and true: workflows, templates, license, citation, changelog, and what they name."""

import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", MAKEFILE, re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(p for p in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml")
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / ".github").rglob("*.md"))
PYTHONS = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.fullmatch(r".* :: 3\.\d+", c)]
HOME = PROJECT["urls"]["Homepage"]


def load(path):
    return yaml.safe_load(path.read_text("utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def name(path):
    return path.relative_to(ROOT).as_posix()


def made(text):
    """The targets that a text tells somebody to make: `make lint types PYTHON=python` makes two."""
    for words in re.findall(r"\bmake((?: +[\w-]+(?:=\S+)?)+)", text):
        yield from (word for word in words.split() if "=" not in word)


@pytest.mark.parametrize(
    "path",
    [
        *WORKFLOWS,
        *FORMS,
        *(ROOT / n for n in ("action.yml", "CITATION.cff", ".pre-commit-config.yaml", ".github/ISSUE_TEMPLATE/config.yml")),
    ],
    ids=name,
)
def test_every_file_for_a_service_is_yaml_with_something_in_it(path):
    assert isinstance(load(path), dict)
    assert load(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
class TestWorkflow:
    def test_it_says_when_it_runs_for_how_long_and_may_only_read(self, path):
        workflow = load(path)
        # YAML 1.1 reads the key `on` as true
        assert workflow["name"] == path.stem
        assert workflow[True]
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job["runs-on"] == "ubuntu-latest"
            assert 0 < job["timeout-minutes"] <= 360

    def test_actions_have_a_major_version_and_are_those_of_our_own_action(self, path):
        own = {
            step["uses"].partition("@")[0]: step["uses"]
            for step in load(ROOT / "action.yml")["runs"]["steps"]
            if "uses" in step
        }
        for step in steps(load(path)):
            used = step.get("uses", "./")
            assert used == "./" or re.fullmatch(r"actions/[\w-]+@v\d+", used)
            assert own.get(used.partition("@")[0], used) == used, "one version of an action everywhere"

    def test_scripts_are_bash_and_no_expression_is_part_of_one(self, path):
        for step in steps(load(path)):
            assert "${{" not in step.get("run", ""), "what an expression holds would be run as code"
            done = subprocess.run(["bash", "-n", "-c", step.get("run", ":")], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    def test_what_it_makes_and_names_is_there(self, path):
        ours = load(ROOT / "action.yml")["inputs"]
        for step in steps(load(path)):
            assert set(made(step.get("run", ""))) <= TARGETS
            given = step.get("with", {})
            if step.get("uses") == "./":
                assert set(given) <= set(ours)
                assert set(given.get("extras", "").split(",")) <= set(PROJECT["optional-dependencies"])
            text = " ".join([step.get("run", ""), *map(str, given.values())])
            for file in re.findall(r"(?<![\w/.*-])[\w./-]+\.(?:txt|ya?ml|toml|py)\b", text):
                assert (ROOT / file).is_file(), file

    def test_it_runs_on_a_python_that_was_tried(self, path):
        for job in load(path)["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {}).get("python", [])
            asked = [str(step["with"]["python-version"]) for step in job["steps"] if "setup-python" in step.get("uses", "")]
            for version in [*matrix, *(a for a in asked if "matrix" not in a)]:
                assert version in PYTHONS


def test_the_workflows_are_those_that_the_project_promises():
    assert [path.stem for path in WORKFLOWS] == ["demo", "docs", "nightly", "tests", "wheel"]
    commands = {path.stem: [step.get("run", step.get("uses", "")) for step in steps(load(path))] for path in WORKFLOWS}
    assert "./" in commands["demo"]
    targets = {stem: {target for run in runs for target in made(run)} for stem, runs in commands.items()}
    assert targets["tests"] == {"lint", "types", "arrows", "test"}
    assert targets["docs"] == {"docs"}
    assert {"slow", "bench", "test-newest"} <= targets["nightly"]
    assert any("python -m build" in run for run in commands["wheel"])
    assert any('tightship" demo' in run for run in commands["wheel"])
    assert load(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"] == PYTHONS


@pytest.mark.parametrize("path", FORMS, ids=name)
def test_an_issue_form_is_one_that_can_be_shown(path):
    form = load(path)
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        assert part["type"] in ("textarea", "input", "dropdown", "checkboxes")
        assert part["attributes"]["label"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_a_bug_a_feature_and_a_figure():
    assert {path.stem for path in FORMS} == {"bug", "feature", "figure"}
    (link,) = load(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml")["contact_links"]
    assert link["url"] == f"{HOME}/security/advisories/new"


def test_commits_are_checked_by_the_tools_and_commands_of_make():
    entries = [hook["entry"] for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    for entry in entries:
        program, *arguments = entry.split()
        assert program.startswith(".venv/bin/")
        assert Path(sys.executable).with_name(Path(program).name).exists()
        wanted = " ".join([f"$(BIN)/{Path(program).name}", *(a for a in arguments if a != "--force-exclude")])
        assert re.search(rf"^\t{re.escape(wanted)}( \.)?$", MAKEFILE, re.MULTILINE), wanted
    for target in ("lint", "types", "arrows"):
        for command in re.search(rf"^{target}: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1].splitlines():
            tool = command.split()[0].removeprefix("$(BIN)/")
            assert any(f"/bin/{tool}" in entry for entry in entries), command


def test_the_license_is_there_and_named_the_same_everywhere():
    (file,) = PROJECT["license-files"]
    text = (ROOT / file).read_text()
    assert "Apache License\n                           Version 2.0" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == load(ROOT / "CITATION.cff")["license"] == "Apache-2.0"
    assert not [c for c in PROJECT["classifiers"] if c.startswith("License ::")], "the SPDX expression says it"


def test_the_citation_is_of_this_version():
    citation = load(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(citation)
    assert citation["repository-code"] == HOME


def test_the_pythons_of_the_metadata_are_those_that_were_tried():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(20) if allowed.contains(f"3.{minor}.1")] == PYTHONS
    for version in PYTHONS:
        assert re.search(rf"^\| {re.escape(version)} \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)


def test_classifiers_are_known_and_in_order():
    from trove_classifiers import classifiers

    assert set(PROJECT["classifiers"]) <= classifiers
    assert PROJECT["classifiers"] == sorted(PROJECT["classifiers"])


def test_the_changelog_is_in_the_form_of_keep_a_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d|not tagged yet)", head) for head in heads[1:])
    assert heads[1].startswith(f"[{PROJECT['version']}]")
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
    for head in heads:
        assert re.search(rf"^{re.escape(head.partition(' ')[0])}: {re.escape(HOME)}/", text, re.MULTILINE), head


def test_the_project_has_one_home():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    texts = [ROOT / n for n in listed if n.endswith((".md", ".yml", ".yaml", ".toml", ".cff"))]
    for path in filter(Path.is_file, texts):
        for home in re.findall(r"https://github\.com/[\w-]+/tightship\b", path.read_text("utf-8")):
            assert home == HOME, name(path)
        for used in re.findall(r"uses: ([\w-]+/tightship)@", path.read_text("utf-8")):
            assert f"https://github.com/{used}" == HOME, name(path)
    assert all(url.startswith(HOME) for url in PROJECT["urls"].values())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_tells_to_make_or_to_open_is_there(page):
    text = page.read_text("utf-8")
    for quoted in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        if quoted.startswith("make "):
            assert set(made(quoted)) <= TARGETS, quoted
        top = quoted.partition("/")[0]
        if (
            re.fullmatch(r"[\w.-]+(/[\w.-]+)+", quoted)
            and (ROOT / top).is_dir()
            and not top.startswith(".venv")
            and top != "runs"
        ):
            assert (ROOT / quoted).exists(), quoted
    for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            assert not line.startswith("make ") or set(made(line.partition("#")[0])) <= TARGETS, line


def test_the_plugs_that_contributing_shows_are_made_of_what_there_is():
    """Names that its examples use are those of the registries that it points to."""
    import ast
    import importlib

    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    known = {}
    for module in (
        "runtimes.base", "runtimes.target", "export.base", "compress.quantizers", "compress.criteria", "compress.losses",
        "zoo.metrics", "tightship.gating.gates", "artifacts.types",
    ):  # fmt: skip
        known |= vars(importlib.import_module(module))
    for block in blocks:
        tree = ast.parse(block)
        made_here = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id[0].isupper()} - made_here - {"F", "Path"}
        assert used <= set(known), used - set(known)


def test_editors_are_told_what_the_linter_wants():
    # the file has settings before its first section
    parser = configparser.ConfigParser()
    parser.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    assert parser["top"]["root"] == "true"
    assert parser["*"]["max_line_length"] == str(SETTINGS["tool"]["ruff"]["line-length"])
    assert parser["Makefile"]["indent_style"] == "tab"


def test_all_that_the_source_archive_lists_is_there_and_no_page_is_forgotten():
    listed = SETTINGS["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert not [entry for entry in listed if not (ROOT / entry).exists()]
    assert {page.name for page in ROOT.glob("*.md")} <= set(listed)


@pytest.mark.parametrize("folder", sorted(set(re.findall(r":= (\.venv[\w-]*)$", MAKEFILE, re.MULTILINE))))
def test_environments_are_ignored_also_where_they_are_links(folder, tmp_path):
    assert folder in (ROOT / ".gitignore").read_text().splitlines()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (tmp_path / folder).symlink_to(tmp_path)
    done = subprocess.run(["git", "check-ignore", "-q", folder], cwd=tmp_path)
    assert done.returncode == 0
