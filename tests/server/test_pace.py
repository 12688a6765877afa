"""What begins in which turn of the event loop."""

from __future__ import annotations

import asyncio
from functools import partial

from cluscomp.server.pace import IN_A_TURN, Pace


def turns_of(arrivals):
    """The turn in which each began, by arrival. arrivals: how many come in each turn."""

    async def run():
        pace, began, number, now = Pace(), {}, 0, [0]

        def start(one):
            began[one] = now[0]

        while len(began) < sum(arrivals):
            for _ in range(arrivals[now[0]] if now[0] < len(arrivals) else 0):
                pace.begin(partial(start, number))
                number += 1
            now[0] += 1  # what is called soon runs in the next turn
            await asyncio.sleep(0)
        assert list(began) == sorted(began)  # in the order in which they came
        return list(began.values())

    return asyncio.run(run())


def test_some_begin_at_once_and_the_others_in_later_turns():
    n = IN_A_TURN
    assert turns_of([3, 0, 2]) == [0] * 3 + [2] * 2
    assert turns_of([n]) == [0] * n
    found = turns_of([2 * n + 1, 0, 0, 0, 1])
    assert [found.count(turn) for turn in range(5)] == [n, n, 1, 0, 1]


def test_who_comes_while_others_wait_begins_behind_them():
    n = IN_A_TURN
    found = turns_of([n + 5, n, 1])
    assert [found.count(turn) for turn in range(max(found) + 1)] == [n, n, 6]
