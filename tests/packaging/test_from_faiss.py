"""docs/from-faiss.md: both columns of its table run, and do the same."""

from __future__ import annotations

import re

import numpy as np
import pytest

LINE = re.compile(r"^\| \d+ \| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)


@pytest.fixture
def columns(repository) -> list[list[str]]:
    """The lines of faiss and ours."""
    page = (repository / "docs" / "from-faiss.md").read_text(encoding="utf-8")
    return [list(column) for column in zip(*LINE.findall(page), strict=True)]


def test_twelve_lines_of_each_do_the_same(columns, rng, tmp_path, threads, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.chdir(tmp_path)
    centres = 3 * rng.normal(size=(20, 32))
    x = (centres[rng.integers(20, size=2000)] + rng.normal(size=(2000, 32))).astype("f4")
    q = x[::100] + np.float32(0.01)
    faiss, ours = ({"np": np, "x": x, "q": q} for _ in range(2))
    for names, lines in zip((faiss, ours), columns, strict=True):
        for line in lines:
            exec(line, names)  # noqa: S102
    assert len(columns[0]) == 12
    assert faiss["count"] == ours["count"] == 1998
    np.testing.assert_allclose(faiss["scores"][:, 0], -ours["scores"][:, 0], atol=0.05)
    found = [names["index"].search(q, 5)[1] for names in (faiss, ours)]
    assert (found[0][1:, 0] == found[1][1:, 0]).all()  # the first row was deleted
    assert not {100, 101} & set(found[1].ravel().tolist())
