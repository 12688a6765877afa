"""The treemap: cells by hand, areas that add up, alike lists together, titles as text only."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cluscomp as cc
from cluscomp.errors import EmptyInputError, TooLargeError, UsageError
from cluscomp.eval.report.list_tree import ListTree, list_tree
from cluscomp.eval.report.treemap import groups_of, render_treemap, squarify, write_treemap


def test_cells_by_hand():
    """6, 6, 4, 3, 2, 2, 1 in 6 x 4, the example of the paper."""
    found = squarify([6, 6, 4, 3, 2, 2, 1], 0, 0, 6, 4)
    wanted = [
        (0, 0, 3, 2), (0, 2, 3, 2), (3, 0, 12 / 7, 7 / 3), (3 + 12 / 7, 0, 9 / 7, 7 / 3),
        (3, 7 / 3, 1.2, 5 / 3), (4.2, 7 / 3, 1.2, 5 / 3), (5.4, 7 / 3, 0.6, 5 / 3),
    ]  # fmt: skip
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=40),
    st.floats(0.01, 5000),
    st.floats(0.01, 5000),
)
def test_cells_fill_the_rectangle_and_do_not_overlap(areas, width, height):
    areas = sorted(areas, reverse=True)
    parts = squarify(areas, 3.0, -2.0, width, height)
    np.testing.assert_allclose(
        parts[:, 2] * parts[:, 3], np.array(areas) * width * height / sum(areas), rtol=1e-6
    )
    slack = 1e-6 * (width + height)
    assert (parts[:, 0] >= 3 - slack).all() and (parts[:, 0] + parts[:, 2] <= 3 + width + slack).all()
    assert (parts[:, 1] >= -2 - slack).all() and (parts[:, 1] + parts[:, 3] <= -2 + height + slack).all()
    for i, (x, y, w, h) in enumerate(parts):
        for a, b, c, d in parts[i + 1 :]:
            assert min(x + w, a + c) - max(x, a) < slack or min(y + h, b + d) - max(y, b) < slack


@pytest.mark.parametrize("areas", [[1, 2], [2, 0], [2, -1], [float("nan")]])
def test_areas_that_cannot_be_are_refused(areas):
    with pytest.raises(UsageError):
        squarify(areas, 0, 0, 1, 1)
    assert squarify([], 0, 0, 1, 1).shape == (0, 4)


def tree(n=4):
    """Lists 0 and 1 are merged first, then 2 and 3."""
    return ListTree(
        np.arange(n), np.array([10, 30, 5, 50])[:n], np.linspace(0.5, 0.9, n), [["a"], ["b"], [], ["c", "d"]][:n],
        np.array([[0, 1], [2, 3], [4, 5]])[: n - 1],
    )  # fmt: skip


def test_groups_are_the_tree_with_its_highest_merges_undone():
    assert groups_of(tree(), 1) == [[3, 1, 0, 2]]
    assert groups_of(tree(), 2) == [[3, 2], [1, 0]]
    assert groups_of(tree(), 3) == [[3], [1, 0], [2]]
    assert groups_of(tree(), 9) == [[3], [1], [0], [2]]


def test_titles_are_text():
    evil = "</title><script>alert(1)</script>&<b>\"'\x01"
    page = render_treemap(tree(), {"a": evil, "b": "B", "c": "C", "d": "D"}, title="<i>x</i>")
    assert "<script" not in page and "<i>" not in page and "<b>" not in page
    drawing = re.search(r"<svg viewBox.*</svg>", page, re.DOTALL)[0].replace("\x01", "")
    svg = ElementTree.fromstring(drawing)
    assert len(svg) == 4
    texts = ["".join(cell.itertext()) for cell in svg]
    assert "List 3: 50 rows, mean cosine 0.900\nC\nD" in texts[0]
    with pytest.raises(EmptyInputError):
        render_treemap(
            ListTree(np.zeros(0, int), np.zeros(0, int), np.zeros(0), [], np.zeros((0, 2), int)), {}
        )


@pytest.fixture(scope="module")
def rows():
    """Four bundles of directions, of which two are near to each other."""
    rng = np.random.default_rng(2)
    centres = np.array([[1, 0, 0, 0], [1, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32).repeat(
        2, axis=1
    )
    x = np.repeat(centres, [40, 20, 60, 30], axis=0) + 0.02 * rng.standard_normal((150, 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_the_tree_of_an_index(rows):
    index = cc.index_factory("IVF4,SQ8", dim=8, metric="cosine")
    index.train(rows)
    index.add(rows[:100], [f"d{number}" for number in range(100)])
    index.add(rows[100:], [f"d{number}" for number in range(100, 150)])
    index.delete([f"d{number}" for number in range(5)])
    found = list_tree(index)
    assert sorted(found.rows.tolist()) == [20, 30, 35, 60] and (found.cohesion > 0.99).all()
    first = {tuple(sorted(found.rows[found.merges[0]].tolist()))}
    assert first == {(20, 35)}
    bundle = np.repeat(np.arange(4), [40, 20, 60, 30])
    by_size = {35: 0, 20: 1, 60: 2, 30: 3}
    for size, names in zip(found.rows.tolist(), found.medoids, strict=True):
        numbers = [int(name[1:]) for name in names]
        assert len(set(numbers)) == 3 and all(
            bundle[number] == by_size[size] and number >= 5 for number in numbers
        )
        members = np.flatnonzero(bundle == by_size[size])
        members = members[members >= 5]
        centre = index.pipeline.partition.centroids[found.numbers[found.rows.tolist().index(size)]]
        decoded = index.vectors([f"d{number}" for number in members])
        cosines = decoded @ centre / np.linalg.norm(centre) / np.linalg.norm(decoded, axis=1)
        assert set(numbers) == set(members[np.argsort(-cosines)[:3]].tolist())


def test_documents_of_several_vectors_are_named_once(rows):
    index = cc.index_factory("Pool2,IVF4,SQ8", dim=8)
    index.train(rows, lengths=[5] * 30)
    index.add(rows, lengths=[5] * 30)
    found = list_tree(index)
    assert found.rows.sum() == 60
    assert all(len(set(names)) == len(names) for names in found.medoids)


def test_keys_without_lists_and_empty_indexes(rows, tmp_path):
    flat = cc.index_factory("Flat", dim=8)
    flat.add(rows)
    with pytest.raises(UsageError, match="no lists"):
        write_treemap(flat, tmp_path / "x.html")
    empty = cc.index_factory("IVF4,SQ8", dim=8)
    empty.train(rows)
    with pytest.raises(EmptyInputError):
        write_treemap(empty, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
    one = cc.index_factory("IVF1,SQ8", dim=8)
    one.train(rows)
    one.add(rows[:1])
    assert write_treemap(one, tmp_path / "x.html").read_text(encoding="utf-8").count("<rect") == 1


def test_more_lists_than_can_be_shown_are_refused(monkeypatch, rows, tmp_path):
    monkeypatch.setattr("cluscomp.eval.report.list_tree.MOST_LISTS", 3)
    index = cc.index_factory("IVF4,SQ8", dim=8).train(rows).add(rows)
    with pytest.raises(TooLargeError, match="4 lists"):
        write_treemap(index, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_documents_of_tenants_are_not_shown(rows, tmp_path):
    index = cc.index_factory("IVF4,SQ8", dim=8)
    index.declare_attributes({"who": cc.Field("text", tenant=True)})
    index.train(rows)
    index.add(rows, [f"secret{number}" for number in range(150)], attributes={"who": ["a", "b"] * 75})
    text = write_treemap(index, tmp_path / "x.html").read_text(encoding="utf-8")
    assert "secret" not in text and text.count("<rect") == 4
    assert list_tree(index, tenant="a").rows.sum() == 75
    assert all(int(name[6:]) % 2 == 0 for names in list_tree(index, tenant="a").medoids for name in names)
    with pytest.raises(UsageError):
        list_tree(index)
