"""Choose which blocks go and which layers get narrower: the least loss under a limit of measured cost.

Greedy by loss per cost saved, as NetAdapt (Yang et al. 2018, arXiv:1804.03230) does with widths, then exchanges: what is
worth keeping depends on what else is gone.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

PASSES = 2
"""How often the exchanges are gone through, at most."""
FRESH = 8
"""Moves whose loss is measured again in each step, those first that looked best when they were measured last."""


@dataclass(frozen=True)
class State:
    """What has left the network."""

    dropped: frozenset[str] = frozenset()
    """Blocks that are the identity."""
    widths: frozenset[tuple[str, int]] = frozenset()
    """Layers that are narrower than they came, and their widths."""

    def without(self, block: str) -> "State":
        """With one more block gone, and its layers with it."""
        return State(self.dropped | {block}, frozenset(w for w in self.widths if not w[0].startswith(f"{block}.")))

    def restored(self, block: str) -> "State":
        """With a block back, whole."""
        return State(self.dropped - {block}, self.widths)

    def narrowed(self, layer: str, width: int | None) -> "State":
        """With a layer at another width; None gives it back whole."""
        others = frozenset(w for w in self.widths if w[0] != layer)
        return State(self.dropped, others if width is None else others | {(layer, width)})


@dataclass(frozen=True)
class LatencyTable:
    """What each change saves, as a share of the whole network's cost."""

    drops: Mapping[str, float]
    """Block -> saved without it."""
    widths: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """Layer -> width -> saved at that width; only widths that save more than every greater one."""

    def left(self, state: State) -> float:
        """The share of the cost that is left, as the table adds up."""
        # rounded once: a set has another order in every process, and a state at the limit must not depend on it
        return 1 - math.fsum([*(self.drops[b] for b in state.dropped), *(self.widths[n][w] for n, w in state.widths)])


Loss = Callable[[State], float]
"""What the network loses in a state; asked of the same state more than once."""


def choose(table: LatencyTable, loss: Loss, limit: float) -> State | None:
    """The state of least loss that was found, whose cost by the table is at most `limit`; None if there is none."""
    price: dict[str, float] = {}
    state = _descend(table, loss, limit, price)
    return None if state is None else _exchange(table, loss, limit, state, price)


def _moves(table: LatencyTable, state: State) -> Iterator[tuple[str, State]]:
    for block, saved in table.drops.items():
        if block not in state.dropped and saved > 0:
            yield block, state.without(block)
    now = dict(state.widths)
    for layer, options in table.widths.items():
        if any(layer.startswith(f"{block}.") for block in state.dropped):
            continue
        narrower = [w for w in options if w < now.get(layer, max(options) + 1)]
        if narrower:
            yield layer, state.narrowed(layer, max(narrower))


def _descend(table: LatencyTable, loss: Loss, limit: float, price: dict[str, float]) -> State | None:
    state = State()
    while table.left(state) > limit:
        name = _cheapest(table, loss, state, price)
        if name is None:
            return None
        state = dict(_moves(table, state))[name]
    return state


def descent(table: LatencyTable, loss: Loss) -> list[str]:
    """The blocks in the order in which they leave, one by one, until none is left."""
    state, price, order = State(), dict[str, float](), list[str]()
    while (name := _cheapest(table, loss, state, price)) is not None:
        state = dict(_moves(table, state))[name]
        order.append(name)
    return order


def _cheapest(table: LatencyTable, loss: Loss, state: State, price: dict[str, float]) -> str | None:
    """The move that loses least for what it saves; `price` remembers what moves were worth when they were last looked at."""
    moves = {n: s for n, s in _moves(table, state) if table.left(s) < table.left(state)}
    if not moves:
        return None
    known = sorted((n for n in moves if n in price), key=lambda n: price[n])
    fresh = [n for n in moves if n not in price] + known[:FRESH]
    before, left = loss(state), table.left(state)
    for name in fresh:
        price[name] = (loss(moves[name]) - before) / (left - table.left(moves[name]))
    return min(fresh, key=lambda n: price[n])


def _exchange(table: LatencyTable, loss: Loss, limit: float, state: State, price: Mapping[str, float]) -> State:
    for _ in range(PASSES):
        within = (s for s in _neighbors(table, state, price) if table.left(s) <= limit)
        better = min(within, key=loss, default=state)
        if loss(better) >= loss(state):
            break
        state = better
    return state


def _neighbors(table: LatencyTable, state: State, price: Mapping[str, float]) -> Iterator[State]:
    """One change taken back, alone or in exchange for one of those that looked cheapest."""
    undone = [state.restored(b) for b in sorted(state.dropped)]
    undone += [state.narrowed(layer, None) for layer, _ in sorted(state.widths)]
    for back in undone:
        yield back
        others = sorted(_moves(table, back), key=lambda move: price.get(move[0], float("inf")))
        yield from (other for _, other in others[:FRESH] if other != state)
