"""A gradient is the right one, and taking it leaves the memory sound, where the CPU library does not see to that itself."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import conv2d

from compress.training.convolutions import sound_gradients

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
    # in a process of its own: without the mend it corrupts the heap of the one it runs in
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_CHECK_": "3"}
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
