"""Weights load from every usual form of file, and a file never runs code: what does not fit is one sentence."""

import pickle
import zipfile
from collections import namedtuple

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from artifacts.errors import ModelError, RequestError
from artifacts.types import ModelRef
from zoo.models import build, complete, load_weights
from zoo.outputs import named_outputs
from zoo.readers import read_digits
from zoo.resnet import resnet
from zoo.signatures import trace_signature


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture
def state():
    torch.manual_seed(1)
    return net().state_dict()


def loaded(path):
    torch.manual_seed(2)
    module = net()
    load_weights(module, path)
    return module.state_dict()


def refused(path, *words) -> None:
    torch.manual_seed(2)
    module = net()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_weights(module, path)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in (str(path), *words)), text
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items()), "a refused file changed the model"


def under(prefix):
    return lambda s: {prefix + k: v for k, v in s.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": under("module.")(s)},
        under("module."),
        under("_orig_mod."),
        lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    ],
    ids=["plain", "envelope", "envelope-and-prefix", "data-parallel", "compiled", "without-counters"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_usual_checkpoints_load(tmp_path, state, wrap, legacy):
    torch.save(wrap(dict(state)), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    after = loaded(tmp_path / "w.pth")
    assert all(torch.equal(after[k], state[k]) for k in state if "num_batches" not in k)


def test_safetensors_load(tmp_path, state):
    save_file(under("module.")(state), tmp_path / "w.safetensors")
    assert all(torch.equal(v, state[k]) for k, v in loaded(tmp_path / "w.safetensors").items())


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_pickled_code_is_refused_and_never_run(tmp_path, state, how):
    value = {**state, "extra": Bomb(tmp_path / "ran")}
    if how == "bare":
        (tmp_path / "w.pt").write_bytes(pickle.dumps(value["extra"]))
    else:
        torch.save(value, tmp_path / "w.pt", _use_new_zipfile_serialization=how == "zip")
    refused(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path):
    torch.save(net(), tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "pickled code", "state_dict()")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.jit.*")
def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.script(net()).save(str(tmp_path / "w.pt"))
    refused(tmp_path / "w.pt", "TorchScript program")


def test_a_zip_bomb_is_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\0" * 50_000_000)
    refused(tmp_path / "w.pt", "50,000,000", "unread")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_checkpoint_is_refused(tmp_path, state, legacy, keep):
    path = tmp_path / "w.pt"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    refused(path)


def test_truncated_safetensors_and_noise_are_refused(tmp_path, state):
    save_file(state, tmp_path / "w.safetensors")
    raw = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(raw[:-4])
    refused(tmp_path / "w.safetensors")
    (tmp_path / "w.bin").write_bytes(b"noise" * 100)
    refused(tmp_path / "w.bin")
    refused(tmp_path / "absent.pt", "no weights")


def test_a_wrong_shape_is_refused(tmp_path, state):
    torch.save({**state, "2.weight": torch.zeros(5, 4)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "shape", "2.weight")


def test_a_missing_tensor_is_refused(tmp_path, state):
    torch.save({k: v for k, v in state.items() if k != "1.running_mean"}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "no tensor", "1.running_mean")


def test_an_unexpected_tensor_is_refused(tmp_path, state):
    torch.save({**state, "3.weight": torch.zeros(1)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "unknown tensor", "3.weight")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, state, value):
    state["2.weight"][0, 0] = value
    torch.save(state, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "NaN", "2.weight")


@pytest.mark.parametrize("value", [{}, {"epoch": 3}, [1, 2], torch.zeros(3)])
def test_a_file_without_a_state_dict_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "no state dict")


@pytest.mark.parametrize("depth", [2, 7, 18, 21])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(ModelError, match=f"depth {depth} is not 6n"):
        resnet(depth=depth)


@pytest.mark.parametrize("options", [{"width": 0}, {"classes": 0}, {"shortcut": "C"}])
def test_other_impossible_sizes_are_refused(options):
    with pytest.raises(ModelError):
        resnet(**options)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_the_resnet_has_its_published_size(shortcut):
    module = resnet(20, 16, 10, 3, shortcut)
    weights = sum(p.numel() for n, p in module.named_parameters() if "shortcut" not in n)
    assert weights == 269_722  # 0.27 M in He et al. 2015, table 6
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_unknown_names_and_options_name_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'resnet'"):
        build(ModelRef("resnett"))
    with pytest.raises(ModelError, match="no option 'dept'; did you mean 'depth'"):
        complete(ModelRef("resnet", options={"dept": 20}), read_digits())


def test_classes_and_channels_come_from_the_data_unless_given():
    assert complete(ModelRef("resnet"), read_digits()).options == {"classes": 10, "channels": 1}
    assert complete(ModelRef("resnet", options={"classes": 12}), read_digits()).options["classes"] == 12


def test_outputs_are_named_however_they_are_nested():
    x = torch.zeros(1)
    assert list(named_outputs((x, x))) == ["output_0", "output_1"]
    assert list(named_outputs({"b": x, "a": x})) == ["b", "a"]
    assert list(named_outputs({"a": {"b": x}, "c": (x, x), "none": None})) == ["a_b", "c_0", "c_1"]
    assert list(named_outputs((x, [x, {"y": x}]))) == ["output_0", "output_1_0", "output_1_1_y"]
    assert list(named_outputs(namedtuple("Found", ["values", "indices"])(x, x))) == ["values", "indices"]
    for wrong in ({"a_b": x, "a": {"b": x}}, {"a": "text"}, 3.0, None, ()):
        with pytest.raises(ModelError):
            named_outputs(wrong)


def test_the_signature_is_traced_without_changing_mode_or_statistics():
    class WithNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def forward(self, image):
            y = self.norm(image)
            return {"small": y.mean((2, 3)), "big": y}

    module = WithNorm().train()
    signature = trace_signature(module, read_digits())
    assert [(s.name, s.shape) for s in signature.outputs] == [("small", ("batch", 1)), ("big", ("batch", 1, 8, 8))]
    assert module.training
    assert int(module.norm.num_batches_tracked) == 0
    with pytest.raises(ModelError, match="cannot run on the data"):
        trace_signature(nn.Linear(3, 3), read_digits())


class Counts(nn.Module):
    """Adds how often it was asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, image):
        self.asked.add_(1)
        return image.flatten(1) + self.asked


class Wet(nn.Module):
    def forward(self, image):
        return nn.functional.dropout(image, 0.5, training=True).flatten(1)


class Complex(nn.Module):
    def forward(self, image):
        return image.flatten(1).to(torch.complex64)


@pytest.mark.parametrize(("module", "reason"), [(Counts(), "second time"), (Wet(), "second time"), (Complex(), "complex")])
def test_what_no_file_can_hold_is_refused(module, reason):
    with pytest.raises(ModelError, match=reason):
        trace_signature(module, read_digits())
    assert not [b for b in module.buffers() if b.any()], "asking must not change the caller's network"
