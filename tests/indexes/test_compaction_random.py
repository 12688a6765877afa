"""Random changes of two twins, of which one is compacted, saved and opened on the way: they always answer alike."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.indexes import open_index

KEYS = ("Flat", "IVF8,PQ4x4,RFlat", "PQ4x4", "IVF8,SQ8", "RR,IVF8,RaBitQ2,Refine(RaBitQ8)")


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("key", KEYS)
def test_a_twin_that_is_never_compacted_answers_the_same(trained, rows, queries, tmp_path, key, seed):
    rng = np.random.default_rng(seed)
    plain, twin, named = trained(key), trained(key), 0
    for step in range(40):
        change = rng.choice(["add", "add", "delete", "compact", "reopen"])
        if change == "add":
            some = rows[rng.integers(600, size=rng.integers(1, 90))]
            ids = rng.permutation(np.arange(named, named + len(some)))
            named += len(some)
            twin.add(some, ids)
            plain.add(some, ids)
        elif change == "delete" and len(plain):
            ids = rng.choice(plain.ids, size=rng.integers(1, 1 + len(plain) // 2), replace=False)
            assert twin.delete(ids) == plain.delete(ids)
        elif change == "compact":
            report = twin.compact(segments=int(rng.integers(1, 5)), dead=float(rng.random()))
            assert report.segments_after == len(twin.segments) and report.rows == len(plain)
        elif change == "reopen":
            twin.save(tmp_path / str(step))
            twin = open_index(tmp_path / str(step), verify=True)
        assert twin.ids.tolist() == plain.ids.tolist()
        if len(plain):
            found = [
                i.search(queries, min(7, len(plain)), nprobe=min(3, i.spec.nlist)) for i in (twin, plain)
            ]
            assert [part.tolist() for part in found[0]] == [part.tolist() for part in found[1]]
