"""Permanent ids: kinds, defaults, duplicates, lookups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp.errors import DimensionError, DTypeError, DuplicateIdError, InputError, NonFiniteError
from cluscomp.indexes import Index, index_factory
from cluscomp.indexes.segments.ids import IntIds, RangeIds, TextIds, make_ids


def flat(rows: np.ndarray, ids=None) -> Index:
    return index_factory("Flat", rows.shape[1]).add(rows, ids)


def all_found(index: Index) -> set:
    return set(index.search(np.zeros((1, index.dim), np.float32), len(index))[1][0].tolist())


def test_hashes_of_text_ids_are_those_of_every_process() -> None:
    assert TextIds.from_texts(["", "a", "abc"]).hashes().tolist() == [
        0xEF46DB3751D8E999,
        0xD24EC4F1A98C6E5B,
        0x44BC2CF5AD770999,
    ]


def test_default_ids_count_on(rows) -> None:
    index = flat(rows[:5]).add(rows[5:8])
    assert index.ids.tolist() == list(range(8))
    assert index.id_kind == "int64"
    index.delete([7])
    index.add(rows[8:10])
    assert index.ids.tolist() == [*range(7), 8, 9], "the number of a deleted row is not given to another"


def test_default_ids_go_on_from_the_largest(rows) -> None:
    index = flat(rows[:3], [100, 7, -50]).add(rows[3:5])
    assert index.ids.tolist() == [100, 7, -50, 101, 102]
    assert flat(rows[:2], [-9, -8]).add(rows[2:3]).ids.tolist() == [-9, -8, 0]


@pytest.mark.parametrize(
    "ids",
    [
        [3, 1, 2],
        np.array([3, 1, 2], np.uint8),
        np.array([3, 1, 2], np.uint64),
        (np.int32(3), 1, 2),
        np.array([3, 1, 2], object),
        range(1, 4),
    ],
)
def test_integer_ids_in_many_forms(rows, ids) -> None:
    index = flat(rows[:3], ids)
    assert index.id_kind == "int64"
    assert index.ids.dtype == np.int64
    assert index.ids.tolist() == list(ids)


@pytest.mark.parametrize(
    "ids", [["a", "ü", ""], np.array(["x", "yy", "zzz"]), np.array(["x", "y", "z"], object)]
)
def test_text_ids_in_many_forms(rows, ids) -> None:
    index = flat(rows[:3], ids)
    assert index.id_kind == "str"
    assert index.ids.tolist() == list(ids)
    assert all(type(name) is str for name in index.search(rows[:1], 3)[1][0])


def test_torch_ids(rows) -> None:
    torch = pytest.importorskip("torch")
    assert flat(rows[:3], torch.tensor([5, 9, 1])).ids.tolist() == [5, 9, 1]


def test_ids_are_copied(rows) -> None:
    ids = np.array([4, 8, 6])
    index = flat(rows[:3], ids)
    ids[:] = 0
    assert index.ids.tolist() == [4, 8, 6]


def test_count_names_both_numbers(rows) -> None:
    with pytest.raises(DimensionError, match="3 rows, but 2 ids"):
        flat(rows[:3], [1, 2])
    with pytest.raises(DimensionError, match="3 rows, but 4 ids"):
        flat(rows[:3], list("abcd"))
    with pytest.raises(DimensionError, match="one-dimensional"):
        flat(rows[:3], np.zeros((3, 1), int))


@pytest.mark.parametrize(
    "ids", [[1.5, 2, 3], [True, False, 2], ["a", 1, 2], [1, "a", 2], [None, 1, 2], "abc", [b"a", b"b", b"c"]]
)
def test_other_kinds_of_ids_are_refused(rows, ids) -> None:
    with pytest.raises(DTypeError):
        flat(rows[:3], ids)
    with pytest.raises(DTypeError):
        flat(rows[:3], np.array([1.0, 2.0, 3.0]))


def test_ids_beyond_int64_and_minus_one_are_refused(rows) -> None:
    for ids in ([1, 2, 2**63], np.array([1, 2, 2**63], np.uint64), [1, 2, -(2**63) - 1]):
        with pytest.raises(InputError, match="fit"):
            flat(rows[:3], ids)
    with pytest.raises(InputError, match="-1 of row 2 is reserved"):
        flat(rows[:3], [1, 2, -1])
    assert flat(rows[:2], [2**63 - 1, -(2**63)]).ids.tolist() == [2**63 - 1, -(2**63)]
    with pytest.raises(InputError, match="pass ids"):
        flat(rows[:2], [2**63 - 1, 0]).add(rows[:1])


def test_duplicate_inside_the_batch(rows) -> None:
    with pytest.raises(DuplicateIdError, match="id 7 occurs twice"):
        flat(rows[:3], [7, 1, 7])
    with pytest.raises(DuplicateIdError, match="id 'doc' occurs twice"):
        flat(rows[:3], ["doc", "other", "doc"])


def test_duplicate_of_the_index_leaves_it_unchanged(rows, queries) -> None:
    for first, second, name in (
        ([10, 20, 30], [40, 20], "id 20 is in the index already"),
        (None, [9, 2], "id 2 is in the index already"),
        (["a", "b", "c"], ["d", "b"], "id 'b' is in the index already"),
    ):
        index = flat(rows[:3], first)
        before = index.search(queries, 3)
        with pytest.raises(DuplicateIdError, match=name):
            index.add(rows[3:5], second)
        assert len(index) == 3
        after = index.search(queries, 3)
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_array_equal(after[1], before[1])


def test_kinds_do_not_mix(rows) -> None:
    with pytest.raises(DTypeError, match="int64 ids, but these are str"):
        flat(rows[:3]).add(rows[3:4], ["a"])
    text = flat(rows[:2], ["a", "b"])
    with pytest.raises(DTypeError, match="str ids, but these are int64"):
        text.add(rows[3:4], [1])
    with pytest.raises(DTypeError, match="text ids, so rows cannot be numbered"):
        text.add(rows[3:4])
    assert len(text) == 2


def test_nan_rows_are_named_by_id_and_nothing_is_added(rows) -> None:
    bad = rows.copy()
    bad[417, 3] = np.inf
    for key in ("Flat", "IVF8,SQ8"):
        index = index_factory(key, 16).train(rows)
        with pytest.raises(NonFiniteError, match=r"row 417 \(id 'doc417'\)"):
            index.add(bad, [f"doc{i}" for i in range(600)])
        with pytest.raises(NonFiniteError, match=r"row 417 \(id 417\)"):
            index.add(bad)
        assert len(index) == 0
        assert index.id_kind is None
        index.add(rows, np.arange(600))


def test_delete_takes_rows_out_and_changes_no_other_id(make_index, any_key: str, queries) -> None:
    index = make_index(any_key, "ip", [f"d{i}" for i in range(600)])
    every = {"nprobe": index.spec.nlist, "refine_factor": 600}
    scores, ids = index.search(queries, 40, **every)
    gone = set(ids[:, :3].ravel())
    assert index.delete(list(gone)) == len(gone)
    assert (len(index), index.n_deleted) == (600 - len(gone), len(gone))
    again_scores, again = index.search(queries, 10, **every)
    for row in range(len(queries)):
        kept = [name not in gone for name in ids[row]]
        assert again[row].tolist() == ids[row][kept][:10].tolist()
        np.testing.assert_array_equal(again_scores[row], scores[row][kept][:10])


def test_delete_unknown_id_deletes_nothing(rows) -> None:
    index = flat(rows[:5], [1, 2, 3, 4, 5])
    with pytest.raises(
        InputError, match=r"id 9 is not in the index \(1 of 3 ids are not\); nothing was deleted"
    ):
        index.delete([1, 9, 2])
    assert len(index) == 5
    index.delete(1)
    with pytest.raises(InputError, match="id 1 is not"):
        index.delete([1])
    with pytest.raises(DTypeError):
        index.delete(["2"])
    with pytest.raises(DuplicateIdError):
        index.delete([2, 2])
    assert index.delete([]) == 0
    with pytest.raises(InputError, match="id 0 is not"):
        index_factory("Flat", 4).delete([0])


def test_deleted_ids_may_come_back_with_another_row(make_index, rows) -> None:
    index = make_index("IVF8,Flat", "ip")
    index.delete([5])
    index.add(rows[5:6] * 100, [5])
    scores, ids = index.search(rows[5:6], 1, nprobe=8)
    assert ids.tolist() == [[5]]
    assert scores[0, 0] == pytest.approx(100 * float(rows[5] @ rows[5]), rel=1e-5)
    index.delete([5])
    assert 5 not in index.ids


@given(st.data())
def test_random_adds_and_deletes_against_a_dict(data: st.DataObject) -> None:
    index, model = index_factory("Flat", 2, "ip"), {}
    for step in range(data.draw(st.integers(1, 8))):
        if model and data.draw(st.booleans()):
            gone = data.draw(st.lists(st.sampled_from(sorted(model)), unique=True, max_size=4))
            index.delete(gone)
            for name in gone:
                del model[name]
        else:
            pool = [i for i in range(30) if i not in model]
            new = (
                data.draw(st.lists(st.sampled_from(pool), unique=True, min_size=1, max_size=5))
                if pool
                else []
            )
            for name in new:
                model[name] = (float(step), float(name))
            if new:
                index.add(np.array([model[name] for name in new], np.float32), new)
    assert len(index) == len(model)
    assert sorted(index.ids.tolist()) == sorted(model)
    if model:
        scores, ids = index.search(np.array([[0, 1]], np.float32), len(model))
        assert ids[0].tolist() == sorted(model, reverse=True)
        assert scores[0].tolist() == sorted((float(name) for name in model), reverse=True)


@given(
    st.lists(st.text(max_size=6), min_size=1, max_size=30, unique=True),
    st.lists(st.text(max_size=6), max_size=10, unique=True),
)
def test_text_lookup_equals_a_dict(names: list[str], wanted: list[str]) -> None:
    try:
        column = TextIds.from_texts(names)
        asked = TextIds.from_texts(wanted)
    except InputError:  # lone surrogates are no Unicode text
        return
    assert column.take(np.arange(len(names))).tolist() == names
    assert column.find(asked).tolist() == [names.index(name) if name in names else -1 for name in wanted]
    assert column.first_duplicate() is None


@given(
    st.lists(st.integers(-20, 20).filter(lambda i: i != -1), min_size=1, unique=True), st.integers(-20, 20)
)
def test_integer_lookup_equals_a_list(values: list[int], wanted: int) -> None:
    column = make_ids(values, len(values))
    assert column.find(IntIds(np.array([wanted]))).tolist() == [
        values.index(wanted) if wanted in values else -1
    ]


def test_texts_with_equal_hashes_are_told_apart(monkeypatch) -> None:
    monkeypatch.setattr(TextIds, "hashes", lambda ids: np.full(len(ids), 7, dtype=np.uint64))
    column = TextIds.from_texts(["a", "b", "c"])
    assert column.find(TextIds.from_texts(["c", "x", "a"])).tolist() == [2, -1, 0]
    assert column.first_duplicate() is None
    assert TextIds.from_texts(["a", "b", "a"]).first_duplicate() == "a"


def test_consecutive_integers_store_nothing() -> None:
    column = make_ids(np.arange(5, 25), 20)
    assert isinstance(column, RangeIds)
    assert column.arrays() == {}
    assert column.take(np.array([0, 19])).tolist() == [5, 24]
    assert isinstance(make_ids([5, 7, 6], 3), IntIds)
