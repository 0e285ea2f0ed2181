"""Prune for measured latency: whole blocks and channel widths, chosen by what they cost where the network will run.

Fewer MACs often buy nothing: every layer has a fixed cost, and odd widths leave the vector path. So each kind of change is
measured once on the target, as it will be deployed; the choice is made from that table, and the network that was chosen
is measured whole. If it is over the limit the choice is made again under a tighter one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from artifacts.errors import ModelError
from artifacts.files import staged, write_json
from artifacts.json import read
from artifacts.types import Arrays, Split, TorchModel
from compress import checkpoint
from compress.configs import PruneConfig
from compress.counting import count
from compress.criteria.preparing import minimizing
from compress.distillation.distil import finetuning_loss
from compress.pruning.details import BlockDetails, HalvedState, Pruned, Savings, TriedState, step_of
from compress.pruning.groups import cuttable
from compress.pruning.latency.blocks import removable
from compress.pruning.latency.output_divergence import OutputDivergence
from compress.pruning.latency.selection import LatencyTable, State, choose
from compress.pruning.latency.successive_halving import starting_candidates, successive_halving
from compress.pruning.latency.table import RelativeLatency, group_equal, measure_table
from compress.pruning.structured import rank, widths
from compress.training.loop import Progress, Training, fit, silent, subset

TRIES = 5
MARGIN = 0.995
"""A limit that was missed is tightened by what it was missed by, and a little more."""
NOT_TRAINED = "shrunk"


def prune_blocks(
    model: TorchModel,
    config: PruneConfig,
    split: Split,
    *,
    seed: int,
    relative: RelativeLatency | None = None,
    work: Path | None = None,
    progress: Progress = silent,
) -> Pruned[BlockDetails]:
    """Remove blocks (and, for `latency`, channels) from a copy of `model`, then fine-tune it with `model` as its teacher.

    Args:
        model: left as it is.
        config: its goal is `latency` (a share of the incoming latency on `target`) or `blocks` (how many to keep).
        split: the training data.
        seed: of the draw of examples, and of the training.
        relative: measures networks on the target; needed for `latency`.
        work: a folder that outlives a crash.
        progress: told the share done.

    Raises:
        ModelError: nothing can be removed, or the goal cannot be reached.
    """
    done = work / NOT_TRAINED if work else None
    if done and done.is_dir():
        found = Pruned(checkpoint.load(done), read(BlockDetails, json.loads((done / "details.json").read_text())))
    else:
        with minimizing(config.loss):
            found = shrink(model, config, split, relative, seed, lambda share, message: progress(0.2 * share, message))
        if done:
            with staged(done) as folder:
                checkpoint.save(found.model, folder)
                write_json(folder / "details.json", found.details.as_json())
    loss = finetuning_loss(model.module, config)
    state = work / "finetune.state" if work else None
    training = Training(
        split,
        config.training(config.finetune_epochs),
        seed,
        state,
        lambda share, message: progress(0.2 + 0.8 * share, message),
        found.model.masks,
    )
    fit(found.model.module, loss, training)
    now = count(found.model.module, split.batch(subset(split, 2, seed))[0])
    details = replace(found.details, steps=[step_of(1, now)], widths=dict(widths(found.model.module)))
    return Pruned(found.model, details)


def shrink(
    model: TorchModel,
    config: PruneConfig,
    split: Split,
    relative: RelativeLatency | None,
    seed: int,
    progress: Progress = silent,
) -> Pruned[BlockDetails]:
    """A smaller copy of `model`, not yet fine-tuned, within the goal of `config` as measured.

    Raises:
        ModelError: nothing can be removed, or the goal cannot be reached.
    """
    example = split.batch(subset(split, 2, seed))[0]
    blocks, refused = removable(model.module, example)
    details = BlockDetails(refused)
    if config.latency is None:
        kept = config.blocks or 0
        if kept >= len(blocks):
            raise ModelError(f"blocks {kept} is not fewer than the {len(blocks)} that can be removed; lower it.")
        divergence, table = OutputDivergence(model, split, [], seed), LatencyTable(dict.fromkeys(blocks, 1 / len(blocks)))
        limit = (kept + 0.01) / len(blocks)
    else:
        assert relative is not None
        layers, not_cut = cuttable(model, example)
        groups = rank(model, layers, config, split, subset(split, 256, seed), seed)
        progress(0.0, f"measuring {len(blocks)} blocks and {len(groups)} layers on {config.target}")
        divergence, limit = OutputDivergence(model, split, groups, seed), config.latency
        table = measure_table(model, blocks, groups, config.align, example, relative)
        saves = Savings(dict(table.drops), {n: dict(w) for n, w in table.widths.items()})
        details = replace(details, not_cut=not_cut, saves=saves)
    search = _Search(config, table, divergence, group_equal(model, blocks, example), example, limit, relative, seed, progress)
    state = search.halve(split) if config.candidates > 1 else None
    state = state or search.descend()
    kept_blocks = [b for b in blocks if b not in state.dropped]
    details = replace(details, tries=search.tries or None, halving=search.halving or None, kept_blocks=kept_blocks)
    return Pruned(divergence.apply(state, example), details)


@dataclass(frozen=True)
class _Search:
    """The search for what to remove, and what it tried on the way."""

    config: PruneConfig
    table: LatencyTable
    divergence: OutputDivergence
    kinds: list[list[str]]
    example: Arrays
    limit: float
    relative: RelativeLatency | None
    seed: int
    progress: Progress
    tries: list[TriedState] = field(default_factory=list)
    halving: list[HalvedState] = field(default_factory=list)

    def halve(self, split: Split) -> State | None:
        """The best of several choices after short trainings; none if not one of them is within the limit as measured."""
        limit, fitting = self.limit, list[State]()
        for _ in range(TRIES):
            self.progress(0.3, "choosing what to compare")
            states = starting_candidates(self.table, self.divergence, self.kinds, limit, self.config.candidates - 1)
            self.progress(0.35, "choosing blocks and widths")
            chosen = choose(self.table, self.divergence, limit)
            states = list(dict.fromkeys([*([chosen] if chosen else []), *states]))
            if not states:
                break
            shares = self._measured(states)
            self.tries.extend(self._described(s, share) for s, share in zip(states, shares, strict=True))
            fitting = [s for s, share in zip(states, shares, strict=True) if share <= self.limit]
            if len(fitting) >= len(states) / 2:
                break
            limit *= MARGIN * self.limit / float(np.median(shares))
        if not fitting:
            return None
        state, halved = successive_halving(fitting, self.divergence, self.config, split, self.example, self.seed, self.progress)
        self.halving.extend(halved)
        return state

    def descend(self) -> State:
        """The choice of least loss at the moment of the cut whose measured latency is within the limit."""
        self.tries.clear()  # those of choices of which none fitted
        limit = self.limit
        for number in range(TRIES):
            self.progress(0.5 + 0.5 * number / TRIES, "choosing blocks and widths")
            state = choose(self.table, self.divergence, limit)
            if state is None:
                break
            share = self._measured([state])[0]
            self.tries.append(self._described(state, share))
            if share <= self.limit:
                return state
            # a choice that saved more than it had to would be made again
            limit = MARGIN * min(limit * self.limit / share, self.table.left(state))
        least = f"; the least that was measured is {min(t.measured for t in self.tries):.3f}" if self.tries else ""
        goal = f"{self.config.latency} of the latency on {self.config.target}"
        raise ModelError(f"pruning cannot reach {goal}{least}; raise 'latency'.")

    def _measured(self, states: Sequence[State]) -> list[float]:
        if self.relative is None:
            return [self.table.left(s) for s in states]
        return self.relative([self.divergence.apply(s, self.example) for s in states])

    def _described(self, state: State, share: float) -> TriedState:
        dropped, narrowed = sorted(state.dropped), dict(sorted(state.widths))
        return TriedState(dropped, narrowed, self.table.left(state), share, self.divergence(state))
