"""`make check` runs the tests that touch what changed, and no others."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".ci" / "changed_tests.py"
TREE = {
    "runtimes/__init__.py": "",
    "runtimes/base.py": "",
    "runtimes/openvino/__init__.py": "",
    "runtimes/openvino/options.py": "",
    "runtimes/openvino/page.html": "",
    "runtimes/deep/er/__init__.py": "",
    "recipes/digits.yaml": "name: digits\n",
    "docs/index.md": "",
    "Makefile": "",
    "tests/conftest.py": "",
    "tests/runtimes/conftest.py": "",
    "tests/runtimes/test_base.py": "from runtimes.base import Runtime\n",
    "tests/runtimes/openvino/test_options.py": "def test():\n    from runtimes.openvino import options\n",
    "tests/runtimes/openvino/test_placement.py": "import runtimes.base\n",
    "tests/recipe/test_recipes.py": 'FOLDER = "recipes"\n',
    "tests/project/test_make.py": 'FILE = "Makefile"\n',
}
BASE, OPTIONS, PLACEMENT = (
    f"tests/runtimes/{name}" for name in ("test_base.py", "openvino/test_options.py", "openvino/test_placement.py")
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("changed_tests", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ("runtimes/base.py", [BASE, PLACEMENT]),
        ("runtimes/openvino/options.py", [OPTIONS, PLACEMENT]),
        ("runtimes/openvino/page.html", [OPTIONS, PLACEMENT]),
        ("runtimes/openvino/gone.py", [OPTIONS, PLACEMENT]),
        ("runtimes/deep/er/__init__.py", [BASE]),
        ("recipes/digits.yaml", ["tests/recipe/test_recipes.py"]),
        ("Makefile", ["tests/project/test_make.py"]),
        ("docs/index.md", []),
        ("tests/project/test_make.py", ["tests/project/test_make.py"]),
        ("tests/project/test_gone.py", []),
        ("tests/runtimes/conftest.py", [BASE, OPTIONS, PLACEMENT]),
    ],
)
def test_a_change_stands_for_the_tests_that_touch_it(script, tree, changed, wanted):
    assert sorted(script.touching(tree, [changed])) == sorted(wanted)


def test_several_changes_name_each_test_once(script, tree):
    found = script.touching(tree, ["runtimes/base.py", "tests/runtimes/test_base.py", "Makefile"])
    assert sorted(found) == sorted(["tests/project/test_make.py", BASE, PLACEMENT])


def test_what_changed_is_what_git_says_new_deleted_and_moved_files_too(script, tree):
    def git(*arguments):
        who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        subprocess.run(["git", *who, *arguments], cwd=tree, check=True, capture_output=True)

    git("init", "-q")
    (tree / ".gitignore").write_text("ignored.py\n")
    git("add", ".")
    git("commit", "-qm", "one")
    assert script.changed(tree, "HEAD") == []
    (tree / "ignored.py").write_text("")
    (tree / "näu.py").write_text("")
    (tree / "Makefile").unlink()
    git("mv", "runtimes/base.py", "runtimes/ground.py")
    assert script.changed(tree, "HEAD") == ["Makefile", "näu.py", "runtimes/base.py", "runtimes/ground.py"]


def test_a_commit_that_is_not_there_is_one_sentence():
    done = subprocess.run([sys.executable, str(SCRIPT), "no-such-branch"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "no-such-branch" in done.stderr
