"""The search keeps what matters most under a limit of cost, and never goes over the limit."""

import itertools

import pytest

from compress.pruning.latency.selection import LatencyTable, State, choose, descent

COSTS = {"a": 0.30, "b": 0.10, "c": 0.10, "d": 0.25, "e": 0.05}
WORTH = {"a": 3.0, "b": 0.1, "c": 2.5, "d": 1.0, "e": 0.4}
TABLE = LatencyTable(COSTS)


def loss(state):
    return sum(WORTH[b] for b in state.dropped)


def best(limit):
    states = (State(frozenset(c)) for n in range(6) for c in itertools.combinations(COSTS, n))
    return min(loss(s) for s in states if TABLE.left(s) <= limit)


@pytest.mark.parametrize("limit", [0.95, 0.9, 0.8, 0.65, 0.5, 0.4, 0.3])
def test_the_choice_is_the_best_there_is(limit):
    state = choose(TABLE, loss, limit)
    assert TABLE.left(state) <= limit
    assert loss(state) == pytest.approx(best(limit))


def test_the_cost_that_is_left_does_not_depend_on_the_order_of_a_set():
    """Strings are hashed anew in every process, and sums of floats depend on their order."""
    for order in itertools.permutations(("a", "b", "d", "e")):
        state = State()
        for name in order:
            state = State([*state.dropped, name])
        assert TABLE.left(state) == TABLE.left(State(frozenset(order)))


def test_nothing_leaves_where_nothing_must():
    assert choose(TABLE, loss, 1.0) == State()


def test_a_limit_below_what_must_stay_has_no_choice():
    assert choose(TABLE, loss, 0.19) is None


def test_blocks_that_only_matter_together_are_exchanged():
    """b and c each do the other's work: either may leave, not both."""

    def coupled(state):
        return 10.0 * ({"b", "c"} <= state.dropped) + 0.1 * len(state.dropped) + 0.3 * ("e" in state.dropped)

    state = choose(TABLE, coupled, 0.8)
    assert coupled(state) <= 0.2 + 1e-9


def test_a_layer_gets_narrower_step_by_step_and_leaves_with_its_block():
    table = LatencyTable({"x": 0.4}, {"x.conv": {24: 0.1, 16: 0.2, 8: 0.3}, "y.conv": {16: 0.05}})
    costs = {24: 0.1, 16: 0.3, 8: 2.0}

    def narrow(state):
        return sum(costs[w] if n == "x.conv" else 1.0 for n, w in state.widths) + 5.0 * len(state.dropped)

    assert choose(table, narrow, 0.8).widths == {("x.conv", 16)}
    assert choose(table, narrow, 0.95).widths == {("x.conv", 24)}
    state = choose(table, narrow, 0.56)
    assert state == State(frozenset({"x"}), frozenset()) or table.left(state) <= 0.56
    assert State(frozenset(), frozenset({("x.conv", 8)})).without("x") == State(frozenset({"x"}))


def test_a_change_that_saves_nothing_is_no_move():
    table = LatencyTable({"a": 0.0, "b": 0.5})
    assert choose(table, lambda s: 1.0 * ("b" in s.dropped), 0.6).dropped == {"b"}


def test_a_descent_ends_when_all_is_gone():
    assert sorted(descent(TABLE, loss)) == sorted(COSTS)
    assert descent(TABLE, loss)[0] == "b"
