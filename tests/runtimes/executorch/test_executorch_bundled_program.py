"""Bundled programs: checked by ExecuTorch itself, refused where a test fails, and opened as the program they hold."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artifacts.errors import ModelError
from artifacts.records.evidence import ParityRecord
from artifacts.types import Engine
from benchmarks.parity.parity import CONVERSION, QUANTIZED
from runtimes.options import Examples
from runtimes.registry import find

pytest.importorskip("executorch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def made(two_ends, tmp_path_factory):
    """A program with two inputs and outputs, and 3 tests with what the network makes of them."""
    from export.executorch.export import export

    file = export(two_ends, tmp_path_factory.mktemp("program"))
    torch.manual_seed(0)
    fed = {"first": torch.randn(3, 4).numpy(), "second": torch.randn(3, 5).numpy()}
    with torch.no_grad():
        made = two_ends.module(*map(torch.from_numpy, fed.values()))
        expected = {n: t.numpy() for n, t in zip(("sum", "left"), made, strict=True)}
    return file, Examples(fed, expected, "float", 1e-4)


@pytest.fixture(scope="module")
def bundled(made, tmp_path_factory):
    """The folder of a bundled program."""
    from runtimes.executorch.bundled_program import ExecuTorchOptions

    folder = tmp_path_factory.mktemp("selftest")
    notes = ExecuTorchOptions(bundled=True).add_tests(made[0].path, made[1], folder)
    assert len(notes) == 1
    assert "3 test examples and the outputs of the float network" in notes[0]
    return folder


@pytest.mark.slow
def test_it_holds_the_program_and_passes_the_runtimes_own_check(made, bundled):
    from export.executorch.program import program_in
    from runtimes.executorch.bundled_program import failures

    whole = (bundled / "model.bpte").read_bytes()
    assert program_in(whole) == made[0].path.read_bytes()
    facts = json.loads((bundled / "model.bpte.json").read_text())
    assert (facts["examples"], facts["expected"], facts["atol"], facts["rtol"]) == (3, "float", 1e-4, 0.0)
    assert failures(whole, 3, facts["atol"]) == []
    assert failures(whole, 4, facts["atol"]) == [3], "there is no fourth test"


@pytest.mark.slow
def test_each_wrong_output_of_each_example_is_found(made):
    from runtimes.executorch.bundled_program import bundle, failures

    file, tests = made
    for name, at in (("sum", 0), ("left", 2)):
        wrong = {k: v.copy() for k, v in tests.expected.items()}
        wrong[name][at, 1] += 0.01
        assert failures(bundle(file.path, tests.inputs, wrong), 3, 1e-4) == [at]


@pytest.mark.slow
def test_what_fails_its_own_check_is_not_written_and_the_note_says_so(made, tmp_path):
    from runtimes.executorch.bundled_program import ExecuTorchOptions

    file, tests = made
    wrong = Examples(tests.inputs, {k: v + 1 for k, v in tests.expected.items()}, "float", 1e-3)
    (note,) = ExecuTorchOptions(bundled=True).add_tests(file.path, wrong, tmp_path)
    assert note.startswith("no bundled program: ExecuTorch's own check failed on example 0 (3 of 3)")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_without_the_option_nothing_is_written(made, tmp_path):
    assert find("executorch-xnnpack").read_options({}).add_tests(made[0].path, made[1], tmp_path) == ()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_it_opens_as_the_program_that_it_holds(made, bundled):
    runtime, (file, tests) = find("executorch-xnnpack").runtime(), made
    plain, whole = (
        runtime.open(Engine("executorch-xnnpack", path, file.signature), 1) for path in (file.path, bundled / "model.bpte")
    )
    left, right = plain.run(tests.inputs), whole.run(tests.inputs)
    assert all(np.array_equal(left[name], right[name]) for name in left)
    assert whole.placement() == plain.placement()


@pytest.mark.slow
def test_bench_tells_its_target_and_what_it_takes(bundled):
    from tightship.benching.bench import engine_of

    engine = engine_of(bundled / "model.bpte", None, None)
    assert engine.target == "executorch-xnnpack"
    assert [spec.shape for spec in engine.signature.inputs] == [(1, 4), (1, 5)]


@pytest.mark.slow
def test_a_damaged_one_is_one_sentence(made, bundled, tmp_path):
    path = tmp_path / "model.bpte"
    path.write_bytes((bundled / "model.bpte").read_bytes()[:200])
    with pytest.raises(ModelError, match=r"cannot open model\.bpte") as caught:
        find("executorch-xnnpack").runtime().open(Engine("executorch-xnnpack", path, made[0].signature), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "largest"), [(CONVERSION, 1e-6), (QUANTIZED, 0.03)], ids=["float", "int8"])
def test_a_run_writes_one_beside_the_stored_inputs(made, tmp_path, tolerance, largest):
    from tightship.pipeline.stages.job import Job
    from tightship.pipeline.stages.results import ExportResult
    from tightship.pipeline.stages.selftest import write_selftest
    from tightship.store import Entry

    file, tests = made
    config = SimpleNamespace(target="executorch-xnnpack", options={"bundled": True})
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "files").symlink_to(file.folder)
    result = ExportResult("", 1.0, file.format, file.main, file.signature, ())
    entry = Entry("k" * 64, tmp_path / "export", "d" * 64, 0.0, result, True)
    job = Job(config, {"file": entry}, tmp_path, tmp_path, tmp_path, lambda: None)
    parity = ParityRecord(True, "float", largest, largest / 4, 1.0, "", ())
    spread = max(float(np.std(value)) for value in tests.expected.values())
    assert write_selftest(job, tests.inputs, tests.expected, tests.expected, parity, tolerance)
    facts = json.loads((tmp_path / "model.bpte.json").read_text())
    assert facts["atol"] == pytest.approx(spread * (1e-3 if tolerance is CONVERSION else 2 * largest), rel=1e-5)
    assert {"inputs.npz", "outputs.npz", "model.bpte"} <= {path.name for path in tmp_path.iterdir()}
