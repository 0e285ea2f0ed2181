"""Several choices of what to remove are trained for a short while; the one that recovers best is taken.

What a network loses at the moment of the cut says little of what it has lost after fine-tuning. So choices that differ in
where they cut (how many blocks of each kind) are compared, half of them leaving after each round (successive halving,
Jamieson and Talwalkar 2016, arXiv:1502.07943).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from artifacts.types import Arrays, Split
from compress.configs import PruneConfig
from compress.distillation.distil import finetuning_loss
from compress.pruning.details import HalvedState
from compress.pruning.latency.output_divergence import OutputDivergence
from compress.pruning.latency.selection import LatencyTable, State, descent
from compress.training.loop import Progress, Training, fit

ALLOCATIONS = 100_000


@dataclass(frozen=True)
class Candidate:
    """One choice, and how it fared."""

    state: State
    losses: tuple[float, ...]
    """Divergence from the incoming network after each round that it was in."""


def starting_candidates(
    table: LatencyTable, divergence: OutputDivergence, kinds: Sequence[Sequence[str]], limit: float, count: int
) -> list[State]:
    """Up to `count` choices within the limit, each with another number of blocks of each kind, none with room for one more.

    Within a kind, blocks leave in the order in which a descent through the whole network removes them. Of more than
    `count` choices those that lose least at the moment of the cut are taken.
    """
    order = descent(LatencyTable(table.drops), divergence)
    queues = [sorted(kind, key=lambda b: order.index(b) if b in order else len(order)) for kind in kinds]
    states = [State(frozenset(itertools.chain(*gone))) for gone in _allocations(queues)]
    fitting = [s for s in states if table.left(s) <= limit]
    full = [s for s in fitting if not any(table.left(s.restored(b)) <= limit for b in s.dropped)]
    return sorted(full, key=divergence)[:count]


def _allocations(queues: Sequence[Sequence[str]]) -> Iterator[tuple[tuple[str, ...], ...]]:
    options = [[tuple(queue[:n]) for n in range(len(queue) + 1)] for queue in queues]
    return itertools.islice(itertools.product(*options), ALLOCATIONS)


def successive_halving(
    states: Sequence[State],
    divergence: OutputDivergence,
    config: PruneConfig,
    split: Split,
    example: Arrays,
    seed: int,
    progress: Progress,
) -> tuple[State, list[HalvedState]]:
    """The choice that is nearest to the incoming network after short trainings, and how each fared.

    In every round those that are left are trained on `candidate_samples` examples, twice as many as in the round before.
    """
    loss = finetuning_loss(divergence.model.module, config)
    networks = {state: divergence.apply(state, example) for state in states}
    candidates = [Candidate(state, ()) for state in states]
    finished: list[Candidate] = []
    examples, number = config.candidate_samples, 0
    while len(candidates) > 1:
        ran = []
        for at, candidate in enumerate(candidates):
            progress(at / len(candidates), f"round {number + 1}: {len(candidates)} choices")
            training = config.training(1).model_copy(update={"samples": examples, "ema": 0.0})
            fit(networks[candidate.state].module, loss, Training(split, training, seed + number))
            ran.append(Candidate(candidate.state, (*candidate.losses, divergence.of(networks[candidate.state].module))))
        ran.sort(key=lambda r: r.losses[-1])
        candidates, gone = ran[: len(ran) // 2], ran[len(ran) // 2 :]
        finished = [*gone, *finished]
        examples, number = 2 * examples, number + 1
    finished = [*candidates, *finished]
    table = [HalvedState(sorted(r.state.dropped), [round(v, 5) for v in r.losses]) for r in finished]
    return finished[0].state, table
