"""What users may rely on whatever the index: one line a habit, run for every kind of index_kinds.py.

A habit is a function of the kind and of an empty folder; its name says what it holds the index to.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_kinds import KINDS, Kind

import cluscomp as cc
from cluscomp import native
from cluscomp.errors import (
    CluscompError,
    DimensionError,
    DTypeError,
    DuplicateIdError,
    EmptyInputError,
    InputError,
    NonFiniteError,
    NotTrainedError,
    OutputExistsError,
    TooLargeError,
    UsageError,
)

pytest.importorskip("torch")
TEXTS = ["a", "b c", "", "ü\u2028文", "0", "0 ", "\x1b[31m", "'; drop", "x" * 300]


def refuses(error: type[Exception], message: str | None, call: Any) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, CluscompError)


def hits(kind: Kind, index: Any, k: int = 5, seed: int = 1) -> tuple[bytes, list]:
    scores, ids = kind.search(index, kind.rows(6, seed), k)
    return scores.tobytes(), ids.tolist()


def unchanged(kind: Kind, index: Any, call: Any, error: type[Exception], message: str | None) -> None:
    """The call is refused, and the index answers as before."""
    before = len(index), index.ids.tolist(), hits(kind, index)
    refuses(error, message, call)
    assert (len(index), index.ids.tolist(), hits(kind, index)) == before


# ---- adding -------------------------------------------------------------------------------------------


def rows_are_numbered_from_zero(kind: Kind, folder: Path) -> None:
    index = kind.add(kind.filled(20), kind.rows(5, 9))
    assert len(index) == 25 and index.ids.tolist() == list(range(25))


def numbering_goes_on_behind_the_largest_id(kind: Kind, folder: Path) -> None:
    index = kind.add(kind.filled(3, [7, 100, 5]), kind.rows(2, 9))
    assert index.ids.tolist() == [7, 100, 5, 101, 102]


def ids_may_be_any_texts(kind: Kind, folder: Path) -> None:
    index = kind.filled(len(TEXTS), TEXTS)
    assert index.ids.tolist() == TEXTS
    index.save(folder / "x")
    assert cc.open_index(folder / "x").ids.tolist() == TEXTS


def ids_may_be_any_int64_but_minus_one(kind: Kind, folder: Path) -> None:
    extreme = [-(2**63), 2**63 - 1, 0, -2]
    assert kind.filled(4, extreme).ids.tolist() == extreme
    refuses(InputError, "-1", lambda: kind.filled(2, [3, -1]))


def ids_given_twice_are_refused(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(kind, index, lambda: kind.add(index, kind.rows(2), [90, 90]), DuplicateIdError, "90")


def ids_that_are_there_are_refused(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(
        kind, index, lambda: kind.add(index, kind.rows(2), [90, 7]), DuplicateIdError, "id 7 is in the index"
    )


def ids_of_another_kind_are_refused(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(kind, index, lambda: kind.add(index, kind.rows(2), ["a", "b"]), DTypeError, "ids")


def ids_of_mixed_kinds_are_refused(kind: Kind, folder: Path) -> None:
    refuses(DTypeError, "all integers or all texts", lambda: kind.filled(2, [1, "a"]))


def another_number_of_ids_is_refused(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(kind, index, lambda: kind.add(index, kind.rows(2), [90]), DimensionError, "2.*1")


def another_dim_is_refused_with_both(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(kind, index, lambda: kind.add(index, kind.of_dim(2, 5)), DimensionError, "dim 8.*dim 5")
    unchanged(kind, index, lambda: kind.search(index, kind.of_dim(2, 9), 1), DimensionError, "dim 8.*dim 9")


def rows_that_are_no_numbers_are_named_by_id(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    rows = kind.rows(40, 5)
    for value, error in ((np.nan, NonFiniteError), (-np.inf, NonFiniteError), (3e38, TooLargeError)):
        if error is TooLargeError and kind.metric == "cosine":
            continue  # normalised in float64
        wrong = kind.with_value(rows, 31, value)
        unchanged(kind, index, lambda w=wrong: kind.add(index, w, np.arange(1000, 1040)), error, "1031")


def queries_that_are_no_numbers_are_named_by_row(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    for value, error in ((np.nan, NonFiniteError), (np.inf, NonFiniteError), (3e38, TooLargeError)):
        if error is TooLargeError and kind.metric == "cosine":
            continue
        wrong = kind.with_value(kind.rows(3, 5), 0, value)
        refuses(error, "row 0", lambda w=wrong: kind.search(index, w, 2))


def the_callers_arrays_stay_as_they_are(kind: Kind, folder: Path) -> None:
    rows, queries = kind.rows(40), kind.rows(3, 1)
    before = kind.copy(rows), kind.copy(queries)
    ids = np.arange(40) + 5
    index = kind.add(kind.empty().train(rows), rows, ids)
    kind.search(index, queries, 3)
    assert kind.same(rows, before[0]) and kind.same(queries, before[1]) and ids.tolist() == list(range(5, 45))


def later_changes_of_the_callers_arrays_change_nothing(kind: Kind, folder: Path) -> None:
    rows, ids = kind.copy(kind.rows(40)), np.arange(40) + 5
    index = kind.add(kind.trained(), rows, ids)
    before = hits(kind, index)
    kind.spoil(rows)
    ids[:] = 3
    assert hits(kind, index) == before and index.ids.tolist() == list(range(5, 45))


def forms_of_arrays_mean_the_same(kind: Kind, folder: Path) -> None:
    rows, queries = kind.rows(40), kind.rows(6, 1)
    want = hits(kind, kind.add(kind.trained(), rows))
    for form, given in kind.forms(rows).items():
        assert hits(kind, kind.add(kind.trained(), given)) == want, form
    index = kind.add(kind.trained(), rows)
    for form, given in kind.forms(queries).items():
        scores, ids = kind.search(index, given, 5)
        assert (scores.tobytes(), ids.tolist()) == want, form


def an_index_that_has_learnt_nothing_says_so(kind: Kind, folder: Path) -> None:
    index = kind.empty()
    if index.pipeline.needs_training:
        refuses(NotTrainedError, "train", lambda: kind.add(index, kind.rows(3)))
        refuses(NotTrainedError, "train", lambda: index.save(folder / "x"))


def training_again_is_refused(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(kind, index, lambda: index.train(kind.rows(400)), UsageError, "60")


def no_rows_are_refused(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(
        kind, index, lambda: kind.add(index, kind.some(kind.rows(3), slice(0, 0))), EmptyInputError, None
    )


# ---- searching ----------------------------------------------------------------------------------------


def scores_fall_and_name_their_ids(kind: Kind, folder: Path) -> None:
    names = [f"d{i}" for i in range(60)]
    by_number, by_name = kind.filled(), kind.filled(60, names)
    scores, ids = kind.search(by_number, kind.rows(9, 1), 60)
    assert scores.shape == ids.shape == (9, 60) and scores.dtype == np.float32 and np.isfinite(scores).all()
    assert (np.diff(scores, axis=1) <= 0).all() and all(
        sorted(row) == list(range(60)) for row in ids.tolist()
    )
    assert [[f"d{i}" for i in row] for row in ids.tolist()] == kind.search(by_name, kind.rows(9, 1), 60)[
        1
    ].tolist()


def queries_do_not_see_each_other(kind: Kind, folder: Path) -> None:
    index, queries = kind.filled(), kind.rows(7, 1)
    scores, ids = kind.search(index, queries, 4)
    for row in range(7):
        one = kind.search(index, kind.some(queries, slice(row, row + 1)), 4)
        np.testing.assert_array_equal(one[0][0], scores[row])
        assert one[1][0].tolist() == ids[row].tolist()


def a_single_query_needs_no_batch(kind: Kind, folder: Path) -> None:
    index, queries = kind.filled(), kind.rows(3, 1)
    scores, ids = kind.search(index, kind.one_query(queries, 1), 4)
    want = kind.search(index, queries, 4)
    np.testing.assert_array_equal(scores, want[0][1:2])
    assert ids.tolist() == want[1][1:2].tolist()


def fewer_hits_are_the_first_of_more(kind: Kind, folder: Path) -> None:
    index, queries = kind.filled(), kind.rows(5, 1)
    more, fewer = (
        kind.search(index, queries, 20, refine_factor=60),
        kind.search(index, queries, 3, refine_factor=60),
    )
    assert fewer[1].tolist() == more[1][:, :3].tolist()


def a_count_of_hits_is_a_whole_number_that_is_there(kind: Kind, folder: Path) -> None:
    index, queries = kind.filled(10), kind.rows(2, 1)
    for k in (0, -1, "3", 2.0, None, True, 11):
        refuses(UsageError, "k", lambda k=k: kind.search(index, queries, k))
    assert kind.search(index, queries, np.int64(10))[1].shape == (2, 10)
    assert kind.search(index, queries, 99, k_beyond="clip")[1].shape == (2, 10)


def without_rows_nothing_is_found(kind: Kind, folder: Path) -> None:
    for index in (kind.trained(), kind.filled(3)):
        index.delete(index.ids)
        refuses(UsageError, "0", lambda i=index: kind.search(i, kind.rows(2, 1), 1))
        scores, ids = kind.search(index, kind.rows(2, 1), 5, k_beyond="clip")
        assert scores.shape == ids.shape == (2, 0)


# ---- changing -----------------------------------------------------------------------------------------


def what_is_deleted_is_gone_and_nothing_else(kind: Kind, folder: Path) -> None:
    index, queries = kind.filled(), kind.rows(5, 1)
    before = kind.search(index, queries, 60, refine_factor=60)
    assert index.delete([3, 17, 59]) == 3 and len(index) == 57
    after = kind.search(index, queries, 57, refine_factor=60)
    for row in range(5):
        kept = ~np.isin(before[1][row], [3, 17, 59])
        assert after[1][row].tolist() == before[1][row][kept].tolist()
        np.testing.assert_array_equal(after[0][row], before[0][row][kept])


def deleting_what_is_not_there_deletes_nothing(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    unchanged(kind, index, lambda: index.delete([3, 600]), InputError, "id 600 is not in the index")
    index.delete(3)
    unchanged(kind, index, lambda: index.delete([4, 3]), InputError, "id 3 is not in the index")
    assert index.delete([3, 4], missing="ignore") == 1


def ids_of_deleted_rows_are_free(kind: Kind, folder: Path) -> None:
    index = kind.filled()
    index.delete([3, 4])
    kind.add(index, kind.rows(2, 9), [4, 3])
    assert len(index) == 60 and sorted(index.ids.tolist()) == list(range(60))


def upserts_replace(kind: Kind, folder: Path) -> None:
    index, fresh = kind.filled(), kind.rows(2, 9)
    assert kind.upsert(index, fresh, [7, 900]) == 1 and len(index) == 61
    rows = kind.rows(60)
    rest = kind.add(kind.trained(), kind.some(rows, np.delete(np.arange(60), 7)), np.delete(np.arange(60), 7))
    kind.add(rest, fresh, [7, 900])
    if "BIVF" not in kind.key:  # there a row goes where there is room
        assert hits(kind, index) == hits(kind, rest)


# ---- repeating and keeping ----------------------------------------------------------------------------


def the_same_calls_give_the_same_bits(kind: Kind, folder: Path) -> None:
    before = native.get_num_threads()
    try:
        native.set_num_threads(1)
        one = hits(kind, kind.filled())
        native.set_num_threads(4)
        assert hits(kind, kind.filled()) == one
    finally:
        native.set_num_threads(before)


def rows_may_come_in_parts(kind: Kind, folder: Path) -> None:
    rows, index = kind.rows(60), kind.trained()
    for part in (slice(0, 1), slice(1, 40), slice(40, 60)):
        kind.add(index, kind.some(rows, part))
    if "BIVF" not in kind.key:
        assert hits(kind, index) == hits(kind, kind.filled())


def a_saved_index_is_the_same(kind: Kind, folder: Path) -> None:
    index = kind.filled(60, [f"d{i}" for i in range(60)])
    index.delete("d5")
    index.save(folder / "x")
    opened = cc.open_index(folder / "x", verify=True)
    assert type(opened) is type(index) and opened.ids.tolist() == index.ids.tolist()
    assert hits(kind, opened) == hits(kind, index)
    kind.add(opened, kind.rows(2, 9), ["new", "d5"])
    opened.save(folder / "x")
    assert hits(kind, cc.open_index(folder / "x")) == hits(kind, opened)


def saving_replaces_only_what_is_named(kind: Kind, folder: Path) -> None:
    index = kind.filled(5)
    index.save(folder / "x")
    refuses(OutputExistsError, "exists", lambda: kind.filled(4).save(folder / "x"))
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("keep")
    refuses(OutputExistsError, None, lambda: index.save(folder / "mine", if_exists="replace"))
    assert (folder / "mine" / "notes.txt").read_text() == "keep" and len(cc.open_index(folder / "x")) == 5
    kind.filled(4).save(folder / "x", if_exists="replace")
    assert len(cc.open_index(folder / "x")) == 4


def an_index_saves_itself_again(kind: Kind, folder: Path) -> None:
    index = kind.filled(5)
    index.save(folder / "x")
    kind.add(index, kind.rows(1, 9))
    index.save(folder / "x")
    assert len(cc.open_index(folder / "x")) == 6


def its_description_is_json(kind: Kind, folder: Path) -> None:
    facts = kind.filled().describe()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert str(kind.filled().spec) == kind.key and sum(kind.filled().nbytes().values()) > 0


HABITS = [function for name, function in list(globals().items())
          if callable(function) and getattr(function, "__module__", "") == __name__
          and list(getattr(function, "__annotations__", {})) == ["kind", "folder", "return"]]  # fmt: skip


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_habit(kind: Kind, habit: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        habit(kind, tmp_path)
