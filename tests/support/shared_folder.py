"""Processes that share one index folder. Each state of the index is of one piece: all of its rows have one value.

    python shared_folder.py write FOLDER COMMITS STOP   commits, the old files of which go at once
    python shared_folder.py read FOLDER STOP            opens and searches until STOP is there
    python shared_folder.py join FOLDER NAME COUNT      adds rows of its own and joins them with those of others

Each prints what it did as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import IndexLockedError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.verify import verify_index

DIM, ROWS = 4, 20
NAMES = [f"row {number}" for number in range(ROWS)]


def rows(value: float) -> np.ndarray:
    return np.full((ROWS, DIM), value, dtype=np.float32)


def make(folder: Path) -> None:
    index_factory("Flat", DIM).add(rows(1), NAMES).save(folder)


def value_of(index: Any) -> float:
    """The value of all rows. Raises where they are not of one state."""
    scores, ids = index.search(np.ones(DIM, np.float32), ROWS)
    assert sorted(ids[0].tolist()) == sorted(NAMES), ids
    (value,) = {float(score) for score in scores[0]}
    return value / DIM


def write(folder: Path, commits: int, stop: Path) -> dict[str, int]:
    """Commits of all kinds. Another writer may have been killed before, at any place."""
    index, done = open_index(folder), 0
    value = value_of(index)
    while done < commits and not stop.exists():
        value += 1
        index.upsert(rows(value), NAMES)
        if done % 7 == 3:
            index.compact(segments=1, dead=0)
        if done % 13 == 8:
            index = index_factory("Flat", DIM).add(rows(value), NAMES)
            index.save(folder, if_exists="replace", wait=60)
        else:
            index.save(folder, wait=60, grace=0)
        done += 1
    return {"commits": done, "value": int(value)}


def read(folder: Path, stop: Path) -> dict[str, int]:
    """Open, search and follow without a pause."""
    follower, last = open_index(folder), 0.0
    counts = dict.fromkeys(("opened", "refreshed", "values", "verified", "answers"), 0)
    while not stop.exists():
        value = value_of(open_index(folder))
        assert value >= last, (value, last)
        counts["values"] += value > last
        last = value
        counts["opened"] += 1
        counts["refreshed"] += follower.refresh()
        assert value_of(follower) >= last
        counts["answers"] += 2
        if counts["opened"] % 20 == 0:
            faults = verify_index(folder)
            assert not faults, faults
            counts["verified"] += 1
    return counts


def join(folder: Path, name: str, count: int) -> dict[str, int]:
    """Add rows and join them with what others have added in the meantime."""
    index, locked = open_index(folder), 0
    for number in range(count):
        index.add(rows(number)[:3], [f"{name} {number} {row}" for row in range(3)])
        while True:
            try:
                index.save(folder, merge=True, wait=0.05)
                break
            except IndexLockedError:
                locked += 1
    return {"locked": locked, "generation": index.generation or 0}


def main(what: str, folder: str, *more: str) -> None:
    if what == "write":
        found = write(Path(folder), int(more[0]), Path(more[1]))
    elif what == "read":
        found = read(Path(folder), Path(more[0]))
    else:
        found = join(Path(folder), more[0], int(more[1]))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
