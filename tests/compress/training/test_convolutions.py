"""A gradient is the right one, and taking it leaves the memory sound, where the CPU library does not see to that itself."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from compress.configs import TrainConfig
from compress.criteria import CRITERIA
from compress.training.convolutions import _plain, _writes_past, sound_gradients
from compress.training.loop import Training, fit, task_loss

GRADIENTS = """
import torch
from torch.nn.functional import conv2d
from compress.training.convolutions import sound_gradients

sound_gradients()
torch.set_num_threads(1)
torch.manual_seed(0)
for channels in range(1, 18):
    for layout in (torch.channels_last, torch.contiguous_format):
        for turn in range(8):
            x = torch.randn(32, channels, 8, 8).to(memory_format=layout)
            weight = torch.randn(14, channels, 1, 1).to(memory_format=layout).requires_grad_()
            out = conv2d(x, weight, stride=2)
            pull = torch.randn_like(out)
            out.backward(pull)
            exact = weight.detach().double().requires_grad_()
            conv2d(x.double(), exact, stride=2).backward(pull.double())
            assert torch.allclose(weight.grad.double(), exact.grad, atol=1e-4), (channels, layout, turn)
print("sound")
"""


def test_a_narrow_strided_shortcut_has_the_right_gradient():
    # in a process of its own: without the mend it corrupts the heap of the one it runs in, which glibc's checks see at once
    checks = {"MALLOC_CHECK_": "3", "LD_PRELOAD": "libc_malloc_debug.so.0"} if sys.platform == "linux" else {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **checks}
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "sound"


@pytest.mark.parametrize("groups", [1, 2])
def test_other_convolutions_keep_their_gradients(groups):
    sound_gradients()
    torch.manual_seed(0)
    shapes = (4, 8, 6, 6), (6, 8 // groups, 3, 3), (6,)
    single = [torch.randn(shape, requires_grad=True) for shape in shapes]
    exact = [t.detach().double().requires_grad_() for t in single]
    conv2d(*single, stride=2, padding=1, groups=groups).square().sum().backward()
    conv2d(*exact, stride=2, padding=1, groups=groups).square().sum().backward()
    assert all(torch.allclose(t.grad.double(), e.grad, rtol=1e-4, atol=1e-4) for t, e in zip(single, exact, strict=True))


def test_a_gradient_of_a_gradient_passes_through():
    sound_gradients()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(5, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda a, b: conv2d(a, b, stride=2), (x, weight))


@pytest.mark.parametrize(
    ("shape", "stride", "narrow"),
    [
        ((8, 6, 1, 1), [2, 2], True),
        ((8, 15, 1, 1), [1, 2], True),
        ((8, 16, 1, 1), [2, 2], False),
        ((8, 6, 1, 1), [1, 1], False),
        ((8, 6, 3, 3), [2, 2], False),
        ((8, 6, 1), [2], False),
    ],
)
def test_only_narrow_strided_shortcuts_are_taken_another_way(shape, stride, narrow):
    assert _writes_past(torch.empty(shape), stride) == narrow


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (14, 6, 1, 1), (32, 1, 8, 8)])
def test_their_strides_leave_no_doubt_about_the_layout(shape):
    plain = _plain(torch.randn(shape).to(memory_format=torch.channels_last))
    assert plain.stride() == torch.empty(shape).stride()


@pytest.mark.parametrize("name", [name for name, criterion in CRITERIA.items() if criterion.prepare])
def test_every_criterion_that_takes_gradients_takes_sound_ones(name, digits, tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("compress.criteria.preparing.sound_gradients", lambda: asked.append(name))
    CRITERIA[name].prepare(copy.deepcopy(tiny.module), digits.train, np.arange(4))
    assert asked


def test_every_training_takes_sound_gradients(digits, tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("compress.training.run.sound_gradients", lambda: asked.append("fit"))
    fit(copy.deepcopy(tiny.module), task_loss(), Training(digits.train, TrainConfig(epochs=1, samples=64), 0))
    assert asked
