"""BiDR(codec): candidates by codes in memory, verified by finer codes of which only the candidates are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluscomp.errors import UsageError
from cluscomp.indexes import open_index, parse_key
from cluscomp.indexes.segments import rerank as rerank_module


class CountedReads(np.ndarray):
    """An array that records the rows that are taken from it."""

    taken: list[np.ndarray]

    def __getitem__(self, rows):
        self.taken.append(np.asarray(rows))
        return np.asarray(self)[rows]


def is_mapped(array: np.ndarray) -> bool:
    return isinstance(array.base, np.memmap)


@pytest.mark.parametrize("codec", ["Flat", "SQfp16", "SQ8"])
@pytest.mark.parametrize("key", ["PQ4", "IVF8,PQ4x4"])
def test_hits_are_those_of_the_rerank_bit_for_bit(
    make_index, any_metric: str, queries, tmp_path, monkeypatch, key: str, codec: str
) -> None:
    monkeypatch.setattr(rerank_module, "FETCH_BYTES", 1000)  # several reads a search
    index = make_index(f"{key},BiDR({codec})", any_metric)
    wanted = make_index(f"{key},Refine({codec})", any_metric).search(queries, 6)
    index.delete([5, 70])
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    rerank = make_index(f"{key},Refine({codec})", any_metric)
    rerank.delete([5, 70])
    for found in (index.search(queries, 6), opened.search(queries, 6)):
        for got, expected in zip(found, rerank.search(queries, 6), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert wanted[0].shape == (9, 6)


def test_codes_are_in_memory_and_finer_codes_on_disk(make_index, tmp_path) -> None:
    make_index("IVF8,PQ4,BiDR(SQfp16)").save(tmp_path / "index")
    segment = open_index(tmp_path / "index").segments[0]
    assert not is_mapped(segment.codes["codes"])
    assert not is_mapped(segment.positions)
    assert is_mapped(segment.refine["codes"])


def test_each_candidate_is_read_once_and_no_other_row(make_index, queries) -> None:
    index = make_index("PQ4,BiDR(Flat)")
    segment = index.segments[0]
    counted = segment.refine["codes"].view(CountedReads)
    counted.taken = []
    index._segments = (replace(segment, refine={"codes": counted}),)
    index.search(queries, 3, refine_factor=5)
    _, candidates = make_index("PQ4").search(queries, 15)
    (rows,) = counted.taken
    np.testing.assert_array_equal(rows, np.unique(candidates))


def test_several_segments(trained, rows, queries) -> None:
    found = []
    for name in ("BiDR", "Refine"):
        index = trained(f"PQ4,{name}(SQ8)").add(rows[:200]).add(rows[200:])
        found.append(index.search(queries, 10))
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_key() -> None:
    spec = parse_key("OPQ24,PQ24,BiDR(SQfp16)")
    assert str(spec) == "OPQ24,PQ24,BiDR(SQfp16)"
    assert spec.on_disk
    assert not parse_key("PQ24,Refine(SQfp16)").on_disk
    with pytest.raises(UsageError, match="documents of one vector"):
        parse_key("Pool16,PQ24,BiDR(SQ8)")
