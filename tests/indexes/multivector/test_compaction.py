"""Compaction of documents: no score and no candidate changes when they come together in fewer segments."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cluscomp.indexes import open_index
from cluscomp.progress import Ticker

CUTS = (0, 1, 30, 31, 80, 120, 150)
DEAD = np.unique(np.r_[0:150:7, 1:30])


@pytest.fixture
def in_parts(make_documents, documents):
    """in_parts(key) -> index of six segments with deleted documents, one of them all deleted."""
    x, lengths = documents
    ends = np.r_[0, np.cumsum(lengths)]

    def make(key, metric="ip"):
        index = make_documents(key, metric=metric)
        index._segments = ()
        for start, stop in pairwise(CUTS):
            rows = x[ends[start] : ends[stop]]
            index.add(rows, np.arange(start, stop), lengths=lengths[start:stop])
        index.delete(DEAD)
        return index

    return make


def answers(index, questions, **effort):
    x, lengths = questions
    scores, ids = index.search(x, 5, lengths=lengths, **effort)
    return scores.tobytes(), ids.tolist()


def arrays_of(segment):
    return {name: array.tobytes() for name, array in (segment.arrays() | segment.ids.arrays()).items()}


def test_every_key_answers_the_same_bits(in_parts, questions, key):
    """Also where few documents are candidates, chosen by lists or by encodings."""
    x, lengths = questions
    few = {"candidates": 7, "nprobe": min(3, in_parts(key).spec.nlist)}
    efforts = [{}, {"refine_factor": 1}, few, {"softmax": 0.5, **few}, {"candidates_by": "fde", **few}]
    for metric in ("ip", "cosine"):
        index = in_parts(key, metric)
        before, n = [answers(index, questions, **effort) for effort in efforts], len(index)
        scores = index.score(x, index.ids, lengths=lengths)
        for most in (3, 1):
            report = index.compact(segments=most, dead=0)
            assert len(index.segments) == most and report.rows == len(index) == n and report.deleted == 0
            assert [answers(index, questions, **effort) for effort in efforts] == before
            assert index.score(x, index.ids, lengths=lengths).tobytes() == scores.tobytes()


def test_what_is_left_is_what_adding_the_documents_leaves(in_parts, make_documents, documents, key):
    x, lengths = documents
    live = np.setdiff1d(np.arange(150), DEAD)
    index, once = in_parts(key), make_documents(key)
    index.compact(segments=1, dead=0)
    once._segments = ()
    once.add(x[np.repeat(np.isin(np.arange(150), live), lengths)], live, lengths=lengths[live])
    one, two = arrays_of(index.segments[0]), arrays_of(once.segments[0])
    if "BIVF" in key:  # rows keep their lists
        one, two = ({name: len(array) for name, array in arrays.items()} for arrays in (one, two))
    assert one == two


def test_twice_is_once_for_every_key(in_parts, tmp_path, key):
    def contents(index, folder):
        index.save(folder)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    index = in_parts(key)
    report = index.compact(segments=1, dead=0)
    once = contents(index, tmp_path / "once")
    assert report.bytes_after == sum(len(raw) for name, raw in once.items() if name.endswith(".npy"))
    opened = open_index(tmp_path / "once", verify=True)
    assert opened.compact(segments=1, dead=0).rewritten == 0
    assert contents(opened, tmp_path / "twice") == once
    segment = opened.segments[0]
    assert arrays_of(
        type(segment).merged(opened.pipeline, [segment], Ticker(None, "compact", 0))
    ) == arrays_of(segment)
