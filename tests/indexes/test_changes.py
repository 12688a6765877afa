"""Changes of an index: upsert, deletion of ids that may be missing, and threads that change it at the same time."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cluscomp.errors import (
    DimensionError,
    DTypeError,
    DuplicateIdError,
    InputError,
    NonFiniteError,
    NotTrainedError,
    UnknownKeyError,
)
from cluscomp.indexes import index_factory, open_index

DIM = 16
DOCUMENT_KEYS = ("Pool2,Flat", "Pool2,IVF4,PQ4x4", "Pool2,SQ8,RFlat")


def found(index: Any, queries: Any, **options: Any) -> tuple[bytes, list[Any]]:
    scores, ids = index.search(queries, min(20, len(index)), **options)
    return scores.tobytes(), ids.tolist()


# ---- delete ----


def test_missing_ids_fail_or_are_ignored(make_index) -> None:
    index = make_index("SQ8", ids=[f"row {i}" for i in range(600)])
    with pytest.raises(
        InputError, match=r"id 'nobody' is not in the index \(1 of 2 ids are not\).*missing='ignore'"
    ):
        index.delete(["row 1", "nobody"])
    assert (len(index), index.n_deleted) == (600, 0)
    assert index.delete(["row 1", "nobody", "row 2"], missing="ignore") == 2
    assert index.delete(["row 1", "nobody"], missing="ignore") == 0
    assert index.delete("row 3", missing="ignore") == 1
    assert (len(index), index.n_deleted) == (597, 3)
    with pytest.raises(DTypeError, match="the index has str ids"):
        index.delete([1], missing="ignore")
    with pytest.raises(UnknownKeyError, match="fail"):
        index.delete(["row 4"], missing="skip")


def test_ids_are_missing_in_an_empty_index(trained) -> None:
    index = trained("SQ8")
    assert index.delete([1, 2], missing="ignore") == 0
    with pytest.raises(InputError, match="id 1 is not in the index"):
        index.delete([1])


# ---- upsert ----


def test_upsert_is_a_deletion_and_an_add(any_key, make_index, rows, queries, tmp_path) -> None:
    names = [f"row {i}" for i in range(600)]
    one, other = make_index(any_key, ids=names), make_index(any_key, ids=names)
    x, ids = rows[::-1][:40], ["new", *names[100:139]]
    assert one.upsert(x, ids) == 39
    other.delete(ids[1:])
    other.add(x, ids)
    assert (len(one), one.n_deleted) == (601, 39)
    assert found(one, queries) == found(other, queries)
    one.save(tmp_path / "index")
    assert found(open_index(tmp_path / "index"), queries) == found(one, queries)


@pytest.mark.parametrize("key", DOCUMENT_KEYS)
def test_upsert_of_documents_is_a_deletion_and_an_add(key) -> None:
    rng = np.random.default_rng(0)
    x, queries = rng.standard_normal((60, 5, DIM), np.float32), rng.standard_normal((4, 3, DIM), np.float32)
    one, other = index_factory(key, DIM).train(x).add(x), index_factory(key, DIM).train(x).add(x)
    assert one.upsert(x[:9].reshape(-1, DIM), range(55, 64), lengths=np.full(9, 5)) == 5
    other.delete(range(55, 60))
    other.add(x[:9], range(55, 64))
    assert (len(one), one.n_deleted) == (64, 5)
    assert found(one, queries) == found(other, queries)


def test_upsert_into_an_empty_index_and_numbering_after_it(trained, rows) -> None:
    index = trained("SQ8")
    assert index.upsert(rows[:3], [5, 9, 7]) == 0
    index.add(rows[3:5])
    assert index.ids.tolist() == [5, 9, 7, 10, 11]
    assert index.upsert(rows[:2], [11, 5]) == 2
    assert index.ids.tolist() == [9, 7, 10, 11, 5]


def test_a_wrong_upsert_changes_nothing(make_index, rows, queries, trained) -> None:
    index = make_index("IVF8,PQ4")
    before = found(index, queries)
    bad = rows[:3].copy()
    bad[1, 4] = np.nan
    with pytest.raises(NonFiniteError, match="id 700"):
        index.upsert(bad, [3, 700, 4])
    with pytest.raises(DuplicateIdError, match="id 3 occurs twice"):
        index.upsert(rows[:3], [3, 3, 4])
    with pytest.raises(DimensionError, match="3 rows, but 2 ids"):
        index.upsert(rows[:3], [3, 4])
    with pytest.raises(DTypeError, match="the index has int64 ids"):
        index.upsert(rows[:1], ["three"])
    with pytest.raises(DTypeError):
        index.upsert(rows[:1], None)
    assert (len(index), index.n_deleted, found(index, queries)) == (600, 0, before)
    with pytest.raises(NotTrainedError):
        index_factory("IVF8,PQ4", DIM).upsert(rows[:1], [0])


def test_the_error_of_a_taken_id_names_upsert(make_index, rows) -> None:
    with pytest.raises(DuplicateIdError, match="id 3 is in the index already.*`upsert`"):
        make_index("SQ8").add(rows[:1], [3])


# ---- threads ----


def at_once(*calls: Callable[[], Any]) -> list[Exception]:
    """Run the calls in threads that start together; the errors that they raised."""
    barrier, errors = threading.Barrier(len(calls)), []

    def run(call: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - told to the test
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.fixture
def slow_encoding(monkeypatch) -> None:
    """Encoding lets other threads go first, so that changes without a lock would overlap."""
    from cluscomp.indexes import index as module

    encode = module.encode_segment

    def slowly(*arguments: Any) -> Any:
        segment = encode(*arguments)
        time.sleep(0.05)
        return segment

    monkeypatch.setattr(module, "encode_segment", slowly)


@pytest.mark.usefixtures("slow_encoding")
def test_of_two_threads_that_add_one_id_one_fails(trained, rows) -> None:
    index = trained("SQ8")
    errors = at_once(*[lambda: index.add(rows[:2], [1, 2])] * 2)
    assert [type(error) for error in errors] == [DuplicateIdError]
    assert index.ids.tolist() == [1, 2]


@pytest.mark.usefixtures("slow_encoding")
def test_rows_that_threads_add_are_numbered_once(trained, rows) -> None:
    index = trained("SQ8")
    assert not at_once(*[lambda: index.add(rows[:5])] * 4)
    assert index.ids.tolist() == list(range(20))


@pytest.mark.usefixtures("slow_encoding")
def test_threads_that_upsert_one_id_leave_one_row(trained, rows) -> None:
    index = trained("SQ8")
    assert not at_once(*[lambda: index.upsert(rows[:2], [1, 2])] * 4)
    assert (index.ids.tolist(), index.n_deleted) == ([1, 2], 6)


@pytest.mark.usefixtures("slow_encoding")
def test_a_save_beside_an_add_writes_one_state(trained, rows, tmp_path) -> None:
    index = trained("SQ8").add(rows[:10])
    assert not at_once(
        lambda: index.add(rows[10:20]), lambda: index.save(tmp_path / "index"), lambda: index.delete([3])
    )
    assert len(index) == 19
    assert len(open_index(tmp_path / "index", verify=True)) in (9, 10, 19, 20)


def test_threads_that_change_and_search_lose_nothing(trained, rows) -> None:
    """Writers of disjoint ids against searches, with thread switches at every few instructions."""
    index = trained("SQ8").add(rows[:100])
    interval = sys.getswitchinterval()

    def write(first: int) -> None:
        for start in range(first, first + 100, 10):
            index.add(rows[:10], range(start, start + 10))
            index.upsert(rows[:5], range(start + 5, start + 10))
            index.delete(range(start, start + 3))

    def search() -> None:
        for _ in range(60):
            _, ids = index.search(rows[:4], 50)
            assert all(len(set(row)) == 50 for row in ids.tolist())  # an id is there once, at any time

    sys.setswitchinterval(1e-6)
    try:
        errors = at_once(*[lambda n=n: write(1000 * n) for n in (1, 2, 3)], search, search)
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    kept = [1000 * n + 10 * block + row for n in (1, 2, 3) for block in range(10) for row in range(3, 10)]
    assert sorted(index.ids.tolist()) == sorted([*range(100), *kept])
    assert len(index) == 310 and index.n_deleted == 3 * 10 * 8


def test_a_copy_has_a_lock_of_its_own(make_index, rows) -> None:
    index = make_index("SQ8")
    copied = pickle.loads(pickle.dumps(index))  # noqa: S301 - made by this test
    with index._lock:
        assert not at_once(lambda: copied.add(rows[:1]))
    assert (len(index), len(copied)) == (600, 601)
