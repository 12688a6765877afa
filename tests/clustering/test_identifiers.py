"""Hierarchical identifiers and prefix trees: unique paths, the members of a beginning, files that are no trees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp import PrefixTree, hierarchical_identifiers
from cluscomp.errors import InputError, MalformedFileError, MissingInputError, UsageError


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((36, 4), dtype=np.float32)


def test_a_full_tree_has_paths_of_one_length(rows):
    """branching 3, leaves of 4, n = 3^2 * 4: three children of 12 rows, three of 4 each, four places."""
    paths = hierarchical_identifiers(rows, branching=3, leaf_size=4)
    assert sorted(paths) == [(a, b, place) for a in range(3) for b in range(3) for place in range(4)]


@pytest.mark.parametrize("balance", ["exact", "none"])
def test_groups_of_rows_share_their_beginning(balance):
    """Six tight groups of five rows, two of them near each other: a child holds whole groups."""
    centres = np.array([[0, 0], [0, 1], [50, 0], [50, 1], [0, 50], [1, 50]], dtype=np.float32)
    x = np.repeat(centres, 5, axis=0) + np.random.default_rng(1).normal(0, 0.01, (30, 2)).astype(np.float32)
    paths = hierarchical_identifiers(x, branching=3, leaf_size=5, balance=balance, n_iter=30, seed=2)
    assert len(set(paths)) == 30
    firsts = [path[0] for path in paths]
    assert all(len(set(firsts[start : start + 5])) == 1 for start in range(0, 30, 5))
    assert balance == "none" or Counter(firsts) == dict.fromkeys(range(3), 10)


def test_equal_rows_end_and_are_told_apart():
    paths = hierarchical_identifiers(np.ones((100, 3), dtype=np.float32), branching=3, leaf_size=5)
    assert len(set(paths)) == 100 and max(map(len, paths)) <= 5
    leaves = Counter(path[:-1] for path in paths)
    assert max(leaves.values()) <= 5


def test_the_same_call_gives_the_same_paths(rows):
    first = hierarchical_identifiers(rows, branching=3, leaf_size=2, seed=5)
    assert first == hierarchical_identifiers(rows, branching=3, leaf_size=2, seed=5)
    assert all(isinstance(number, int) for path in first for number in path)


def test_one_row_has_one_number(rows):
    assert hierarchical_identifiers(rows[:1]) == [(0,)]


def test_numbers_that_cannot_be_are_refused(rows):
    with pytest.raises(UsageError, match="branching"):
        hierarchical_identifiers(rows, branching=1)
    with pytest.raises(UsageError, match="leaf_size"):
        hierarchical_identifiers(rows, leaf_size=0)


# ---- prefix trees ----


def test_a_tree_by_hand():
    tree = PrefixTree.of([(1, 0), (0, 2), (1, 5, 3)])
    assert tree.tokens.tolist() == [-1, 0, 1, 2, 0, 5, 3]
    assert tree.first_child.tolist() == [1, 3, 4, 6, 6, 6, 7, 7]
    assert tree.rows.tolist() == [-1, -1, -1, 1, 0, -1, 2]
    assert tree.following(()).tolist() == [0, 1] and tree.following((1,)).tolist() == [0, 5]
    assert tree.following((1, 0)).size == 0 and tree.row((1, 5, 3)) == 2


@given(st.sets(st.tuples(*[st.integers(0, 3)] * 3), max_size=30).map(sorted), st.randoms())
def test_following_is_what_paths_say(paths, random):
    paths = [path[: 1 + path[0]] if path[0] < 2 else path for path in paths]
    paths = list(dict.fromkeys(paths))
    random.shuffle(paths)
    tree = PrefixTree.of(paths)
    for row, path in enumerate(paths):
        assert tree.row(path) == row
        for depth in range(len(path) + 1):
            after = sorted({p[depth] for p in paths if p[:depth] == path[:depth] and len(p) > depth})
            assert tree.following(path[:depth]).tolist() == after


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([(1, 2), (0,), (1, 2)], "path 0 is path 2"),
        ([(1, 2, 3), (0,), (1, 2)], "path 2 is path 0, or its beginning"),
        ([(), (1,)], "path 0 is path 1, or its beginning"),
        ([()], "paths are empty"),
        ([(1,), (-1, 2)], "path 1 is .-1, 2.; numbers lie in 0"),
        ([(2**31,)], "path 0 is"),
    ],
)
def test_paths_that_do_not_end_apart_are_refused(paths, message):
    with pytest.raises(InputError, match=message):
        PrefixTree.of(paths)


def test_unknown_beginnings_are_named():
    tree = PrefixTree.of([(1, 0), (0, 2)])
    with pytest.raises(InputError, match=r"no path begins with \(1, 7\)"):
        tree.following((1, 7, 2))
    with pytest.raises(InputError, match="only the beginning"):
        tree.row((1,))


def test_a_file_comes_back(tmp_path, rows):
    paths = hierarchical_identifiers(rows, branching=3, leaf_size=4)
    PrefixTree.of(paths).save(tmp_path / "tree.npz")
    loaded = PrefixTree.load(tmp_path / "tree.npz")
    assert [loaded.row(path) for path in paths] == list(range(36))
    empty = PrefixTree.of([])
    empty.save(tmp_path / "empty.npz")
    assert PrefixTree.load(tmp_path / "empty.npz").following(()).size == 0


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MissingInputError):
        PrefixTree.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    np.savez(tmp_path / "other.npz", tokens=np.zeros(1, dtype=np.int32))
    tree = PrefixTree.of([(1, 0), (0, 2)])
    loop = np.array([0, 0, 1, 2, 5, 5])
    np.savez(tmp_path / "loop.npz", tokens=tree.tokens, first_child=loop, rows=tree.rows)
    np.savez(tmp_path / "short.npz", tokens=tree.tokens, first_child=tree.first_child, rows=tree.rows[:-1])
    for name in ("text", "other", "loop", "short"):
        with pytest.raises(MalformedFileError, match="no prefix tree"):
            PrefixTree.load(tmp_path / f"{name}.npz")
