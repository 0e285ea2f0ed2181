"""The packages stand as the architecture page says: imports run one way, files are short, folders can be looked through."""

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
SUITES = ROOT / "benchmarks" / "suites"
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if not p.is_relative_to(SUITES))
LONGEST = 250
FULLEST = 15
VERBS = "tightship/cli"
"""The one folder that may be fuller: a file for each verb, as `tightship --help` lists them."""
MOST_ANY = 5.0
"""How often `Any` may stand in 1,000 lines outside the files that call a library without types."""

spec = importlib.util.spec_from_file_location("structure", ROOT / ".ci" / "structure.py")
structure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(structure)


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_no_init_file_below_tests():
    assert not list((ROOT / "tests").rglob("__init__.py")), "it would shadow the package of the same name"


def test_no_two_test_files_of_one_name():
    names = [p.name for p in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)


def test_no_folder_takes_the_name_of_a_library_of_the_build():
    folders = [p for p in ROOT.glob("*/") if not p.name.startswith(".")]
    assert not {p.name for p in folders} & {"packaging", "build", "pip", "setuptools", "hatchling"} - {"build"}
    assert not (ROOT / "build" / "__init__.py").exists()


def test_the_import_rules_hold_in_the_linter_too():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 broken" in done.stdout


def test_no_file_is_too_long_to_read_in_one_go():
    lengths = {name(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_no_folder_is_too_full_to_look_through():
    folders = Counter(name(path.parent) for path in SOURCES if path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > FULLEST and folder != VERBS} == {}


def test_nothing_is_imported_in_circles():
    assert not [room for package in PACKAGES for room in structure.in_circles(structure.arrows(ROOT, package))]


def test_what_flows_has_types():
    assert structure.any_share(structure.inside(SOURCES)) <= MOST_ANY


def test_what_a_visitor_looks_for_is_there():
    for wanted in ("README.md", "CHANGELOG.md", "Makefile", "Dockerfile", "pyproject.toml", ".ci/run"):
        assert (ROOT / wanted).is_file(), wanted
    assert (ROOT / "CHANGELOG.md").read_text().strip()


def test_every_extension_point_finds_the_code_it_names():
    from compress.quantizers import QUANTIZERS
    from export.registry import FORMATS
    from runtimes.registry import TARGETS
    from zoo.registry import DATA, MODELS

    for table in (TARGETS, QUANTIZERS, FORMATS, MODELS, DATA):
        for key, entry in table.items():
            assert entry.name == key
            named = [vars(entry).get(field) for field in ("entry_point", "reader", "sidecars", "checker", "loader", "options")]
            for module in (where.partition(":")[0] for where in named if where):
                assert importlib.util.find_spec(module), f"{key}: no module {module}"
    for target in TARGETS.values():
        assert {*target.formats, *target.also_opens} <= set(FORMATS)
        assert target.quantizer is None or target.quantizer in QUANTIZERS


def test_nothing_in_the_rooms_loads_pickle_or_yaml_unsafely():
    calls = (
        "pickle.load",
        "torch.load(",
        "yaml.load(",
        "weights_only=False",
        "allow_pickle=True",
        "tarfile.open",
        "extractall",
    )
    found = {(name(p), call) for p in SOURCES for call in calls if call in p.read_text()}
    allowed = {
        ("zoo/models.py", "torch.load("),
        ("compress/training/state.py", "torch.load("),
        ("artifacts/yaml_loader.py", "yaml.load("),
        ("artifacts/manifest.py", "tarfile.open"),
        ("tightship/bundling/pack.py", "tarfile.open"),
    }
    assert found <= allowed
    for path in ("zoo/models.py", "compress/training/state.py"):
        text = (ROOT / path).read_text()
        assert text.count("torch.load(") == text.count("weights_only=True")
