"""Searches of one turn of the event loop: all of them, but some only behind a turn that was slow."""

from __future__ import annotations

import asyncio

from cluscomp.server.turns import MOST_BEGUN, SLOW_SECONDS, Turns


def begun(turns, n):
    """How many of n searches begin, where those end that find the turn crowded."""
    count = 0
    while count < n and not turns.is_crowded():
        turns.begin()
        count += 1
    return count


async def of_turns(lengths, n):
    """How many of n searches begin in each turn. lengths: seconds of each turn, and of a pause behind it."""
    now, found = [5.0], []
    turns = Turns(clock=lambda: now[0])
    for seconds, pause in lengths:
        found.append(begun(turns, n))
        now[0] += seconds
        await asyncio.sleep(0)
        now[0] += pause
    return found


def test_a_turn_behind_a_slow_one_begins_some_only():
    slow, fast = 1.5 * SLOW_SECONDS, 0.5 * SLOW_SECONDS
    lengths = [(fast, 0), (slow, 0), (slow, 0), (fast, fast), (fast, 0)]
    assert asyncio.run(of_turns(lengths, 500)) == [500, 500, MOST_BEGUN, MOST_BEGUN, 500]
    assert asyncio.run(of_turns(lengths, MOST_BEGUN)) == [MOST_BEGUN] * 5


def test_what_comes_after_a_pause_is_no_crowd():
    slow = 1.5 * SLOW_SECONDS
    assert asyncio.run(of_turns([(slow, slow), (slow, 0), (slow, 0)], 500)) == [500, 500, MOST_BEGUN]
