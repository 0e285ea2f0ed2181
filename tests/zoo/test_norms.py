"""Weight norms of the old kind: copied, trained and loaded as those of the new kind are."""

import copy
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from artifacts.types import ModelRef
from zoo.models import build, load_weights

NETS = """
import warnings
from torch import nn

def old():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(
            nn.utils.weight_norm(nn.Conv1d(2, 4, 3)), nn.Flatten(), nn.utils.weight_norm(nn.Linear(8, 3), dim=1)
        )
"""


@pytest.fixture
def ref(tmp_path, monkeypatch):
    (tmp_path / "old_norms.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    return ModelRef(factory="old_norms:old")


def test_a_network_with_old_norms_can_be_copied_trained_and_loaded(ref, tmp_path):
    import old_norms

    torch.manual_seed(0)
    source, x = old_norms.old(), torch.randn(5, 2, 4)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    save_file({name: value.detach().clone() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
    module = build(ref)
    load_weights(module, tmp_path / "w.safetensors")
    assert torch.allclose(module(x), source(x), atol=1e-6)
    module(x).sum().backward()
    twin = copy.deepcopy(module)
    assert torch.allclose(twin(x), module(x))
    assert all(p.grad is not None for p in module.parameters())


def test_names_of_others_are_left(ref, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = build(ModelRef(factory="torch.nn:Identity"))
    assert isinstance(module, nn.Identity)
