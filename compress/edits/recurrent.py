"""Recurrent layers (`nn.RNN`, `nn.GRU`, `nn.LSTM`) as single operations with input features and hidden features.

Traced through autograd they fall apart into gates whose channels say nothing. All layers of one module and both directions
lose the same hidden features.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_pruning.pruner.function import BasePruningFunc


def directions(layer: nn.RNNBase) -> int:
    """2 of a bidirectional layer, otherwise 1: its output has so many times its hidden features."""
    return 2 if layer.bidirectional else 1


class RecurrentPruner(BasePruningFunc):  # type: ignore[misc]
    """torch-pruning's protocol: what leaves a recurrent layer with channels of its input or its output."""

    TARGET_MODULES = nn.RNNBase

    def get_in_channels(self, layer: nn.RNNBase) -> int:
        """Features of its input."""
        return layer.input_size

    def get_out_channels(self, layer: nn.RNNBase) -> int:
        """Features of its output: those of both directions, one after the other."""
        return layer.hidden_size * directions(layer)

    def prune_in_channels(self, layer: nn.RNNBase, idxs: Sequence[int]) -> nn.RNNBase:
        """Remove features of its input."""
        keep = _rest(layer.input_size, idxs)
        for name, level, kind in _weights(layer):
            if kind == "ih" and level == 0:
                _keep(layer, name, keep, 1)
        layer.input_size = len(keep)
        return layer

    def prune_out_channels(self, layer: nn.RNNBase, idxs: Sequence[int]) -> nn.RNNBase:
        """Remove hidden features; `idxs` name them in both directions.

        Raises:
            ValueError: a feature leaves one direction only, or the layer projects its output.
        """
        hidden, both = layer.hidden_size, directions(layer)
        leave = {i % hidden for i in idxs}
        if len(leave) * both != len(idxs) or layer.proj_size:
            raise ValueError("hidden features leave both directions of a recurrent layer at once, and only without proj_size")
        keep = _rest(hidden, sorted(leave))
        rows = [gate * hidden + i for gate in range(len(layer.get_parameter("weight_hh_l0")) // hidden) for i in keep]
        below = [way * hidden + i for way in range(both) for i in keep]
        for name, level, kind in list(_weights(layer)):
            _keep(layer, name, rows, 0)
            if kind == "hh":
                _keep(layer, name, keep, 1)
            elif kind == "ih" and level > 0:
                _keep(layer, name, below, 1)
        layer.hidden_size = len(keep)
        return layer


PRUNER = RecurrentPruner()
"""One object: torch-pruning tells functions apart by whose they are."""


def mute_inputs(layer: nn.RNNBase, channels: Sequence[int]) -> None:
    """Make it ignore features of its input, in place."""
    for name, level, kind in _weights(layer):
        if kind == "ih" and level == 0:
            layer.get_parameter(name)[:, list(channels)] = 0


def mute_hidden(layer: nn.RNNBase, channels: Sequence[int]) -> None:
    """Make its next step, and the layers above, ignore hidden features, in place."""
    for name, level, kind in _weights(layer):
        if kind == "hh":
            layer.get_parameter(name)[:, sorted({i % layer.hidden_size for i in channels})] = 0
        elif kind == "ih" and level > 0:
            layer.get_parameter(name)[:, list(channels)] = 0


@contextmanager
def whole(module: nn.Module) -> Iterator[None]:
    """Within the block each recurrent layer or cell of `module` is one operation for autograd."""
    layers = [m for m in module.modules() if isinstance(m, nn.RNNBase | nn.RNNCellBase)]
    for layer in layers:
        one = partial(_run, layer) if isinstance(layer, nn.RNNBase) else partial(_step, layer)
        layer.forward = partial(one, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _One(torch.autograd.Function):
    """Any function as one operation; it has no gradient."""

    @staticmethod
    def forward(ctx: object, run: Callable[[], tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]:
        return run()


def _run(layer: nn.RNNBase, forward: Callable[..., Any], x: Any, state: Any = None) -> Any:
    packed = x if isinstance(x, PackedSequence) else None

    def flat() -> tuple[Tensor, ...]:
        output, last = forward(x, state)
        return (output.data if packed else output, *_tuple(last))

    # a weight among the inputs, so that the outputs are part of the graph even where nothing before is trained
    given = (layer.weight_ih_l0, packed.data if packed else x, *_tuple(state))
    output, *last = _One.apply(flat, *given)  # type: ignore[no-untyped-call]
    return packed._replace(data=output) if packed else output, tuple(last) if isinstance(layer, nn.LSTM) else last[0]


def _step(layer: nn.RNNCellBase, forward: Callable[..., Any], x: Tensor, state: Any = None) -> Any:
    made = _One.apply(lambda: _tuple(forward(x, state)), x, *_tuple(state))  # type: ignore[no-untyped-call]
    return made if isinstance(layer, nn.LSTMCell) else made[0]


def _tuple(state: Any) -> tuple[Tensor, ...]:
    return () if state is None else tuple(state) if isinstance(state, tuple | list) else (state,)


def _weights(layer: nn.RNNBase) -> Iterator[tuple[str, int, str]]:
    """(name, level, kind) of its tensors; the kind is `ih`, `hh` or, of biases, `bias`."""
    for name, _ in list(layer.named_parameters(recurse=False)):
        kind, side, level = name.removesuffix("_reverse").split("_")
        yield name, int(level[1:]), side if kind == "weight" else kind


def _rest(total: int, leave: Sequence[int]) -> list[int]:
    return sorted(set(range(total)) - set(leave))


def _keep(layer: nn.RNNBase, name: str, entries: list[int], dimension: int) -> None:
    old = layer.get_parameter(name)
    made = nn.Parameter(old.detach().index_select(dimension, torch.tensor(entries, device=old.device)), old.requires_grad)
    setattr(layer, name, made)
