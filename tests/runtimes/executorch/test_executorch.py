"""ExecuTorch: what the delegate takes is counted, a broken file is one sentence, results are the caller's own."""

import numpy as np
import pytest
import torch

from artifacts.errors import ModelError
from artifacts.types import Engine
from runtimes.probe import probe
from runtimes.registry import find

pytest.importorskip("executorch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def program(two_ends, tmp_path_factory):
    """A small network with two inputs, and its program opened."""
    from export.executorch.export import export
    from runtimes.executorch.runtime import ExecuTorchXnnpack

    folder = tmp_path_factory.mktemp("program")
    runtime = ExecuTorchXnnpack()
    return two_ends, runtime.open(runtime.build(export(two_ends, folder), folder), 1)


def inputs(batch):
    rng = np.random.default_rng(batch)
    return {"second": rng.normal(size=(batch, 5)).astype(np.float32), "first": rng.normal(size=(batch, 4)).astype(np.float32)}


def test_batches_run_example_by_example_and_keep_names_and_order(program):
    model, session = program
    for batch in (1, 2, 7):
        fed = inputs(batch)
        with torch.no_grad():
            wanted = model.module(torch.from_numpy(fed["first"]), torch.from_numpy(fed["second"]))
        found = session.run(fed)
        for name, tensor in zip(("sum", "left"), wanted, strict=True):
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_a_later_run_does_not_write_over_an_earlier_result(program):
    first = program[1].run(inputs(1))
    kept = {k: v.copy() for k, v in first.items()}
    program[1].run({k: v * 5 for k, v in inputs(1).items()})
    assert all(np.array_equal(first[k], kept[k]) for k in kept)


def test_the_layers_run_inside_the_delegate(program):
    placement = program[1].placement()
    assert placement.accelerated["XnnpackBackend"] >= 1
    assert placement.fallback_share == 0


def test_a_broken_program_is_one_sentence(tmp_path, program):
    from runtimes.executorch.runtime import ExecuTorchXnnpack

    (tmp_path / "model.pte").write_bytes(b"nothing" * 100)
    with pytest.raises(ModelError, match=r"cannot open model\.pte") as caught:
        ExecuTorchXnnpack().open(Engine("executorch-xnnpack", tmp_path / "model.pte", program[0].signature), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_probe_names_the_backends_that_the_runtime_registers():
    from executorch.runtime import Runtime

    found = probe(find("executorch-xnnpack"), timeout=600)
    assert found.available
    version, _, listed = found.reason.partition(", which registers ")
    assert version.startswith("executorch ")
    assert listed.split(", ") == sorted(Runtime.get().backend_registry.registered_backend_names)
    assert "XnnpackBackend" in listed
