"""Deep verification of lists: rows that stand in lists of others are found, and unusual rows are no fault."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_files import file_of, rewrite, what_of

from cluscomp.indexes import index_factory
from cluscomp.indexes.verify import verify_index


def only(folder: Path, level: Any = "deep") -> tuple[str, str]:
    (fault,) = verify_index(folder, level)
    return what_of(folder, fault.file), fault.message


def exchange_lists(folder: Path, array: str, pairs: list[tuple[int, int]]) -> None:
    """Whatever `array` holds of two lists changes places, so that each row is still in one list."""
    offsets = np.load(file_of(folder, "segment0.offsets"))
    order = list(range(len(offsets) - 1))
    for a, b in pairs:
        order[a], order[b] = order[b], order[a]
    places = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in order])
    if array == "positions":  # rising within each list, as a writer leaves them
        found = np.load(file_of(folder, "segment0.positions"))[places]
        changed = np.concatenate([np.sort(part) for part in np.split(found, offsets[1:-1])])
    else:
        changed = np.load(file_of(folder, f"segment0.{array}"))[places]
    rewrite(folder, f"segment0.{array}", lambda a: a.__setitem__(slice(None), changed))


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("IVF16,PQ8,RFlat", "positions"),
        ("BIVF16,PQ16,Refine(SQ8)", "positions"),
        ("IVF16,Flat", "codes"),
        ("IVF16,SQ8", "codes"),
    ],
)
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_lists_that_changed_places(key, array, metric, shared_data, tmp_path) -> None:
    x = np.load(shared_data / "cranfield" / "minilm" / "docs.npy").astype(np.float32)
    index_factory(key, x.shape[1], metric).train(x).add(x).save(tmp_path / "index")
    assert verify_index(tmp_path / "index") == []
    exchange_lists(tmp_path / "index", array, [(i, i + 1) for i in range(0, 16, 2)])
    assert verify_index(tmp_path / "index", "sums") == []
    file, told = only(tmp_path / "index")
    assert file == "segment0.positions.npy"
    assert re.match(
        r"of \d+ different vectors, \d+ are in one of the 2 lists nearest to what their codes", told
    )


def test_two_lists_that_changed_places(tmp_path) -> None:
    """Two heaps far from each other, by hand: every row is in the list of the other heap."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((200, 4)) + np.repeat([[50.0], [-50.0]], 100, axis=0)).astype(np.float32)
    index_factory("IVF2,SQ8,RFlat", 4, "l2").train(x).add(x).save(tmp_path / "index")
    exchange_lists(tmp_path / "index", "positions", [(0, 1)])
    assert only(tmp_path / "index") == (
        "segment0.positions.npy",
        "of 200 different vectors, 0 are in one of the 1 lists nearest to what their codes stand for, but 100 "
        "or more must be: codes or positions stand in lists of others",
    )


def test_lists_of_documents_that_changed_places(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5, 16), np.float32) + 5 * rng.standard_normal((60, 1, 16), np.float32)
    index_factory("Pool2,IVF8,SQ8", 16).train(x).add(x).save(tmp_path / "index")
    assert verify_index(tmp_path / "index") == []
    rewrite(tmp_path / "index", "segment0.lists.npy", lambda a: a.__setitem__(slice(None), 7 - a))
    assert verify_index(tmp_path / "index", "sums") == []
    assert only(tmp_path / "index")[0] == "segment0.lists.npy"


@pytest.mark.parametrize("key", ["IVF64,PQ8", "IVF64,SQ8", "BIVF64,PQ16", "IVF64,PQ8x4,RFlat"])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_rows_unlike_those_of_the_training_are_no_fault(key, metric, shared_data, tmp_path) -> None:
    """Other rows, turned ones, far ones, and one row again and again, which balanced lists push elsewhere."""
    x = np.load(shared_data / "cranfield" / "minilm" / "docs.npy").astype(np.float32)
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((x.shape[1],) * 2))[0].astype(np.float32)
    index = index_factory(key, x.shape[1], metric).train(x[:1000]).add(x[:1000])
    index.add(x[1000:]).add(x[:400] @ turn).add(3 * rng.standard_normal((300, x.shape[1]), np.float32))
    index.add(np.repeat(x[:1], 300, axis=0)).add(np.zeros((100, x.shape[1]), np.float32))
    index.delete(np.arange(0, 1500, 3))
    index.save(tmp_path / "index")
    assert verify_index(tmp_path / "index") == []
    index.compact(segments=1, dead=0)
    index.save(tmp_path / "index")
    assert verify_index(tmp_path / "index") == []
