"""Options and fixtures of the benchmark suites: `pytest benchmarks/suites --artifact FILE ...`."""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--artifact", action="append", default=[], help="an exported file to benchmark; may repeat")


def pytest_generate_tests(metafunc):
    if "artifact" in metafunc.fixturenames:
        files = [Path(p) for p in metafunc.config.getoption("--artifact")]
        metafunc.parametrize("artifact", files, ids=[f"{p.parent.name}-{p.name}" for p in files])


@pytest.fixture(scope="session")
def digits():
    from zoo.data import DataRef, load_data

    return load_data(DataRef(zoo="digits"))


@pytest.fixture(scope="session")
def small_model(digits):
    import torch

    from artifacts.types import ModelRef, TorchModel
    from zoo.models import build, complete
    from zoo.signatures import trace_signature

    torch.manual_seed(0)
    ref = complete(ModelRef(zoo="resnet", options={"depth": 8, "width": 16}), digits)
    module = build(ref).eval()
    return TorchModel(module, ref, trace_signature(module, digits))
