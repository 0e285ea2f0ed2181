"""Techniques on a network of one's own: it is left as it is, options are a recipe's, what is wrong is one sentence."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

import tightship as ts


class Net(nn.Module):
    """A small convolutional network with batch norms and a shortcut."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 4)

    def forward(self, image):
        x = self.stem(image)
        x = torch.relu(x + self.block(x))
        return self.head(x.mean((2, 3)))


GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(0, 4, (96,), generator=GENERATOR)
IMAGES = torch.randn(96, 1, 8, 8, generator=GENERATOR) * 0.3 + LABELS.view(-1, 1, 1, 1)
DATA = (IMAGES, LABELS)
FEW = IMAGES[:2]


@pytest.fixture
def net():
    """A network in train mode, and a check that nothing changed it."""
    torch.manual_seed(0)
    module = Net().train()
    module.stem[1].running_mean.fill_(0.25)
    before, state = copy.deepcopy(module.state_dict()), random.getstate()
    ours, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    yield module
    assert module.training, "its mode was changed"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items()), "its weights were changed"
    assert all(parameter.grad is None for parameter in module.parameters()), "gradients were left on it"
    assert not module._forward_hooks
    assert not module.stem[0]._forward_hooks, "hooks were left on it"
    assert random.getstate() == state, "Python's random numbers went on"
    assert torch.equal(torch.random.get_rng_state(), ours), "torch's random numbers went on"
    assert np.array_equal(np.random.get_state()[1], numpys), "NumPy's random numbers went on"


def other():
    """A network of another task: five classes."""
    with torch.random.fork_rng():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))


def macs(module):
    return ts.inspect(module, FEW).total("macs")


def test_prune_reaches_the_goal_and_gives_a_network_that_trains_and_runs(net):
    smaller = ts.prune(net, FEW, macs=0.5, align=4)
    assert isinstance(smaller, nn.Module)
    assert not smaller.training
    assert macs(smaller) <= 0.5 * macs(net)
    assert smaller(IMAGES).shape == (96, 4)
    nn.functional.cross_entropy(smaller(IMAGES), LABELS).backward()


def test_prune_with_data_fine_tunes_by_the_options_of_a_recipe(net):
    told = []
    plain = ts.prune(net, FEW, macs=0.6, align=4)
    tuned = ts.prune(net, FEW, macs=0.6, align=4, data=DATA, finetune_epochs=3, kd_weight=0.0, on_progress=told.append)
    again = ts.prune(net, FEW, macs=0.6, align=4, data=DATA, finetune_epochs=3, kd_weight=0.0)
    losses = [nn.functional.cross_entropy(m(IMAGES), LABELS).item() for m in (plain, tuned)]
    assert losses[1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(tuned.parameters(), again.parameters(), strict=True)), "seeded"
    assert told
    assert told[-1].done
    assert told[0].step == "prune"


@pytest.mark.parametrize(
    "goal", [{"sparsity": 0.75}, {"n_of_m": "2:4"}, {"parameters": 0.7, "align": 4}, {"bytes": 0.7, "align": 4}]
)
def test_prune_knows_every_goal_of_a_recipe_that_needs_no_data(net, goal):
    made = ts.prune(net, FEW, **goal)
    total = sum(p.numel() for p in net.parameters())
    zeros = sum(int((p == 0).sum()) for p in made.parameters()) / total
    fewer = sum(p.numel() for p in made.parameters()) < total
    assert zeros > 0.4 if {"sparsity", "n_of_m"} & set(goal) else fewer


def test_sparse_weights_stay_sparse_in_a_later_training(net):
    sparse = ts.prune(net, FEW, sparsity=0.75)
    zero = {name: p == 0 for name, p in sparse.named_parameters() if p.ndim > 1}
    taught = ts.distil(sparse, net, DATA, epochs=1)
    assert sum(int(mask.sum()) for mask in zero.values())
    assert all(not p[zero[name]].any() for name, p in taught.named_parameters() if name in zero)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give exactly one of"),
        ({"macs": 0.5, "sparsity": 0.5}, "give exactly one of"),
        ({"macs": 1.5}, "less than or equal to 1"),
        ({"macs": "half"}, "valid number"),
        ({"mcas": 0.5}, "unknown key 'mcas'; did you mean 'macs'"),
        ({"macs": 0.5, "schedule": "rates"}, "cubic"),
        ({"macs": 0.5, "criterion": "magnitud"}, "magnitude"),
        ({"macs": 0.5, "criterion": "taylor"}, "criterion 'taylor' needs data.*magnitude"),
        ({"macs": 0.5, "finetune_epochs": 1}, "finetune_epochs needs data"),
        ({"macs": 0.5, "regularize": "bn-scale"}, "regularize needs data"),
        ({"blocks": 1}, "blocks needs data"),
        ({"macs": 0.5, "examples": 3}, "'examples' is called 'samples' now"),
    ],
    ids=str,
)
def test_what_prune_cannot_do_is_one_sentence(net, options, says):
    with pytest.raises(ts.RequestError, match=says) as caught:
        ts.prune(net, FEW, **options)
    assert "\n" not in str(caught.value)


def test_criteria_that_need_data_take_them(net):
    made = ts.prune(net, FEW, macs=0.6, align=4, criterion="taylor", data=DATA, finetune_epochs=0)
    assert macs(made) <= 0.6 * macs(net)


class Residual(nn.Module):
    """A block that can be left out: what comes in has the shape of what goes out."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))

    def forward(self, x):
        return torch.relu(x + self.conv(x))


def deep():
    """A network of four such blocks."""
    with torch.random.fork_rng():
        stem, head = nn.Conv2d(1, 16, 3, padding=1), nn.Linear(16, 4)
        return nn.Sequential(stem, *(Residual() for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def test_blocks_are_removed_by_what_the_data_show():
    module = deep()
    made = ts.prune(module, FEW, blocks=2, data=DATA, finetune_epochs=0)
    assert sum(isinstance(part, Residual) for part in made) == 2
    assert sum(isinstance(part, Residual) for part in module) == 4
    with pytest.raises(ts.RequestError, match="blocks 9 is not fewer"):
        ts.prune(module, FEW, blocks=9, data=DATA)


@pytest.mark.slow
def test_latency_is_measured_on_the_target_that_is_named():
    module = deep()
    made = ts.prune(module, FEW, latency=0.8, target="onnxruntime-cpu", latency_precision="fp32", data=DATA, finetune_epochs=0)
    assert macs(made) < macs(module)


def test_factorize_splits_layers(net):
    made = ts.factorize(net, FEW, rank_share=0.25, align=1)
    assert sum(p.numel() for p in made.parameters()) < sum(p.numel() for p in net.parameters())
    assert made(IMAGES).shape == (96, 4)
    with pytest.raises(ts.RequestError, match="finetune_epochs needs data"):
        ts.factorize(net, FEW, energy=0.9, finetune_epochs=2)
    with pytest.raises(ts.RequestError, match="give exactly one of"):
        ts.factorize(net, FEW)


def test_distil_learns_what_the_teacher_says(net):
    teacher = ts.distil(net, net, DATA, epochs=8, kd_weight=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        student = Net()
    taught = ts.distil(student, teacher, (IMAGES, LABELS), epochs=8, kd_weight=1.0)
    with torch.no_grad():
        wanted = teacher(IMAGES).argmax(1)
        before, after = ((m.eval()(IMAGES).argmax(1) == wanted).float().mean() for m in (copy.deepcopy(student), taught))
    assert after > max(before, 0.6)


def test_what_nobody_foresaw_is_one_sentence_with_its_cause():
    relu = nn.Sequential(nn.Flatten(), nn.ReLU())
    with pytest.raises(ts.StageCrashed, match=r"^distil broke: RuntimeError: .*grad.*\.$") as caught:
        ts.distil(relu, relu, (IMAGES, LABELS), epochs=1)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_error_of_the_callers_function_is_the_callers(net):
    def fail(update):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ts.distil(net, net, DATA, epochs=1, on_progress=fail)


def test_distil_takes_several_teachers_and_exported_files(net, tmp_path):
    file = ts.export(net, FEW).save(tmp_path / "teacher").path
    with torch.random.fork_rng():
        student = Net()
    made = ts.distil(student, [net, file], DATA, epochs=1)
    assert made(IMAGES).shape == (96, 4)
    layers = ts.distil(student, net, DATA, epochs=1, method="features", layers={"block": "block"})
    assert list(layers.state_dict()) == list(student.state_dict())


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda net: ts.distil(net, "nowhere.onnx", DATA), "no teacher file"),
        (lambda net: ts.distil(net, 3, DATA), "must be a torch.nn.Module or an exported file"),
        (lambda net: ts.distil(net, [], DATA), "needs a teacher"),
        (lambda net: ts.distil(net, other(), DATA), "outputs of shape"),
        (lambda net: ts.distil(net, net, DATA, epoch=3), "unknown key 'epoch'; did you mean 'epochs'"),
        (lambda net: ts.distil(net, net, DATA, teachers=[net]), "'teachers' is a key of recipes"),
        (lambda net: ts.distil(net, net, IMAGES), "inputs alone"),
        (lambda net: ts.distil(net, net, (IMAGES, LABELS + 2)), "hold class 5, and the network tells 4 classes apart, 0 to 3"),
        (lambda net: ts.distil(net, net, (IMAGES, LABELS - 1)), "hold class -1"),
        (lambda net: ts.distil(net, net, DATA, seed=-1), "seed must be a whole number from 0"),
        (lambda net: ts.distil(net, net, DATA, on_progress=3), "on_progress must be a function such as print, not a int"),
        (lambda net: ts.distil(net, net, DATA, method="features"), "needs 'layers'"),
    ],
    ids=range(12),
)
def test_what_distil_cannot_do_is_one_sentence(net, call, says):
    with pytest.raises(ts.RequestError, match=says) as caught:
        call(net)
    assert "\n" not in str(caught.value)


def test_quantize_makes_the_file_of_a_target_and_holds_it_against_the_network(net):
    artifact = ts.quantize(net, FEW, data=IMAGES, calibration_samples=32)
    assert (artifact.target, artifact.precision) == ("onnxruntime-cpu", "int8")
    assert any("32 calibration samples" in note for note in artifact.file.notes)
    assert artifact.check().passed
    other = ts.quantize(net, FEW, data=DATA, keep_float=("head",))
    assert any("kept in float" in note for note in other.file.notes)


def test_quantize_trains_where_it_is_asked_to(net):
    artifact = ts.quantize(net, FEW, data=DATA, qat_epochs=1)
    assert any("ranges learned in training" in note for note in artifact.file.notes)
    checked = artifact.check()
    assert checked.passed
    assert checked.against.endswith("simulated")


@pytest.mark.parametrize("scheme", ["int8-dynamic", "fp16"])
def test_schemes_without_calibration_need_no_data(net, scheme):
    artifact = ts.quantize(net, FEW, scheme=scheme)
    assert artifact.session()(IMAGES)["output"].shape == (96, 4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"data": None}, "int8 is calibrated on data"),
        ({"scheme": "bf16"}, "does not run scheme bf16; these do: .*openvino-cpu"),
        ({"scheme": "int7"}, "int8"),
        ({"target": "onnxruntime"}, "unknown target 'onnxruntime'; did you mean"),
        ({"target": "torch-cpu"}, "does not run scheme int8"),
        ({"calibration_sample": 3}, "did you mean 'calibration_samples'"),
        ({"max_drop": 0.1}, "max_drop is for recipes"),
        ({"qat_epochs": 1}, "inputs alone"),
        ({"keep_float": ("haed",)}, "no layer 'haed'.*did you mean 'head'"),
        ({"target_options": {"spining": False}}, "no option 'spining'"),
    ],
    ids=str,
)
def test_what_quantize_cannot_do_is_one_sentence(net, options, says):
    with pytest.raises(ts.RequestError, match=says) as caught:
        ts.quantize(net, FEW, **{"data": IMAGES, **options})
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_refused(net):
    with pytest.raises(ts.DataError, match="shape 1x4x8, and the network takes 1x8x8"):
        ts.quantize(net, FEW, data=IMAGES[:, :, :4])


def test_techniques_follow_one_another(net):
    taught = ts.distil(net, net, DATA, epochs=4, kd_weight=0.0)
    smaller = ts.prune(taught, FEW, macs=0.6, align=4, data=DATA)
    artifact = ts.quantize(smaller, FEW, data=DATA, qat_epochs=1)
    with torch.no_grad():
        right = (taught(IMAGES).argmax(1) == LABELS).float().mean()
    deployed = (artifact.session()(IMAGES)["output"].argmax(1) == LABELS).float().mean()
    assert deployed > right - 0.2
