"""The public face: cheap to import, one list of names, and nothing that a submodule could overwrite."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tightship as ts

ROOT = Path(__file__).resolve().parents[3]
FACE = ROOT / "tightship" / "__init__.py"
HEAVY = ("torch", "numpy", "pydantic", "onnx", "onnxruntime", "plotly", "jinja2", "yaml", "typer", "rich", "asyncio")


def run_python(program, environment):
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy(environment):
    program = f"import sys, tightship; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(program, environment) == "[]"


def test_torch_is_loaded_only_where_a_network_is_touched(environment):
    program = (
        "import sys, tightship as ts\n"
        "ts.load_recipe('recipes/digits.yaml'); ts.recipe_schema(); ts.zoo()\n"
        "print([getattr(ts, name) is not None for name in ts.__all__].count(False), 'torch' in sys.modules)"
    )
    assert run_python(program, environment) == "0 False"


def typed_names():
    """What type checkers and editors see."""
    for node in ast.parse(FACE.read_text()).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for inner in node.body:
                if isinstance(inner, ast.ImportFrom):
                    yield from ((alias.name, inner.module) for alias in inner.names)
                elif isinstance(inner, ast.AnnAssign):
                    yield inner.target.id, None


def test_editors_see_the_names_that_there_are_and_where_they_are():
    typed = dict(typed_names())
    assert sorted(typed) == sorted(ts.__all__)
    assert {name: home for name, home in typed.items() if home} == ts._HOME


def test_the_list_of_names_is_sorted_and_each_name_is_there_once():
    assert ts.__all__ == sorted(set(ts.__all__))
    assert set(ts.__all__) <= set(dir(ts))
    assert all(hasattr(ts, name) for name in ts.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'prine'"):
        ts.prine  # noqa: B018
    assert not hasattr(ts, "_nothing")


def test_the_version_is_that_of_the_distribution():
    import tomllib

    assert ts.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_no_submodule_overwrites_a_public_name():
    before = {name: getattr(ts, name) for name in ts.__all__}
    for found in pkgutil.walk_packages(ts.__path__, "tightship."):
        if ".runner." not in found.name:  # scripts for the device, which are not run from here
            importlib.import_module(found.name)
    assert {name: getattr(ts, name) for name in ts.__all__} == before
    taken = {found.name.rpartition(".")[2] for found in pkgutil.iter_modules(ts.__path__, "tightship.")}
    assert not taken & set(ts.__all__)


def functions():
    return [name for name in ts.__all__ if inspect.isfunction(getattr(ts, name))]


@pytest.mark.parametrize("name", [name for name in ts.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name):
    value = getattr(ts, name)
    assert inspect.getdoc(value), name
    if inspect.isfunction(value):
        words = inspect.getdoc(value)
        assert ">>> " in words, f"{name} has no example"
        given = [p for p in inspect.signature(value).parameters.values() if p.name != "recipe"]
        assert len(given) < 2 or "Args:" in words, name
        assert "return" in value.__annotations__, name


@pytest.mark.parametrize("name", functions())
def test_every_argument_is_described(name):
    value = getattr(ts, name)
    words = inspect.getdoc(value)
    if "Args:" in words:
        for parameter in inspect.signature(value).parameters:
            assert f"    {parameter}: " in words, f"{name}({parameter}) is not described"


@pytest.mark.parametrize("package", ["tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts"])
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.slow
def test_a_type_checker_sees_the_types(tmp_path):
    (tmp_path / "user.py").write_text(
        "import tightship as ts\nreveal_type(ts.run)\nreveal_type(ts.load_run('x').evidence.verdict.passed)\nts.load_run(3)\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", str(tmp_path / "user.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert re.search(r'Revealed type is "(builtins\.)?bool"', done.stdout), done.stdout
    assert "-> tightship.api.runs.Run" in done.stdout
    assert 'Argument 1 to "load_run" has incompatible type "int"' in done.stdout
