"""How much a network loses without some of its blocks and channels, and the network that has really lost them."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Array, Arrays, Cut, Drop, Edit, Split, TorchModel
from compress.edits.cuts import Reader, channel_group, graph, readers
from compress.edits.replay import replay
from compress.pruning.latency.blocks import without
from compress.pruning.latency.selection import State
from compress.pruning.structured import Group
from compress.training.loop import subset, tensors
from zoo.calling import call
from zoo.named_targets import fields
from zoo.outputs import named_outputs
from zoo.pairing import axis_of_classes

RANKING_EXAMPLES = 256


class OutputDivergence:
    """How far a network's outputs depart when parts of it are gone, on a fixed draw of training examples."""

    def __init__(self, model: TorchModel, split: Split, groups: Sequence[Group], seed: int) -> None:
        self.model, self.groups = model, {g.layer: g for g in groups}
        self.module = copy.deepcopy(model.module).eval()
        indices = subset(split, RANKING_EXAMPLES, seed)
        self.batches = [tensors(split, indices[i : i + 128])[0] for i in range(0, len(indices), 128)]
        self.classes = self._classes_at(split.batch(indices[:2])[1])
        self.graph = graph(self.module, split.batch(indices[:2])[0]) if groups else None
        self.whole = self._outputs(self.module)
        self._known: dict[State, float] = {}

    def __call__(self, state: State) -> float:
        """What is lost without training: see `of`."""
        if state not in self._known:
            with without(self.module, sorted(state.dropped), self._silent(state)):
                self._known[state] = self.of(self.module)
        return self._known[state]

    def of(self, module: nn.Module) -> float:
        """KL(whole ‖ module) of the class probabilities, or the mean squared difference of real-valued outputs."""
        found = self._outputs(module)
        if self.classes is None:
            return float((found - self.whole).square().mean())
        logs, wanted = found.log_softmax(self.classes), self.whole.log_softmax(self.classes)
        return float((wanted.exp() * (wanted - logs)).sum(self.classes).mean())

    @torch.no_grad()
    def _classes_at(self, targets: Array) -> int | None:
        """The axis of the first output that tells classes apart; none of values, and where no targets say."""
        named, outputs = fields(targets), named_outputs(call(self.module, {k: v[:2] for k, v in self.batches[0].items()}))
        name, output = next(iter(outputs.items()))
        own = named.get(name) if named else targets
        whole = own is not None and own.dtype.kind in "iu"
        return axis_of_classes(output.numpy(), own) if whole and own is not None else None

    def cuts(self, state: State) -> list[Cut]:
        """The channels of least score that leave the layers that are narrowed."""
        made = []
        for layer, kept in sorted(state.widths):
            group = self.groups[layer]
            made.append(Cut(layer, True, group.worst(len(group.scores) - kept)))
        return made

    def apply(self, state: State, example: Arrays) -> TorchModel:
        """A copy of the model with the state's edits, held against the network with those parts silenced.

        Raises:
            ModelError: the edited network computes something else.
        """
        # channels first: the dependency graph of the stored edits is that of the whole network
        edits: list[Edit] = [*self.cuts(state), *(Drop(b) for b in sorted(state.dropped))]
        made = replace(self.model, module=copy.deepcopy(self.model.module).eval(), edits=(*self.model.edits, *edits))
        replay(made.module, edits, example)
        with torch.no_grad(), without(self.module, sorted(state.dropped), self._silent(state)):
            before, after = (named_outputs(call(network, example)).values() for network in (self.module, made.module))
            pairs = zip(before, after, strict=True)
            if not all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.std()) + 1e-7) for a, b in pairs):
                raise ModelError("the network with blocks and channels removed computes something else; report this model.")
        return made

    def _silent(self, state: State) -> dict[str, list[Reader]]:
        return {cut.layer: readers(channel_group(self.graph, self.module, cut)) for cut in self.cuts(state)}

    @torch.no_grad()
    def _outputs(self, module: nn.Module) -> torch.Tensor:
        parts = [next(iter(named_outputs(call(module, batch)).values())) for batch in self.batches]
        return torch.cat(parts).float()
