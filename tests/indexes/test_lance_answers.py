"""An index that Lance builds of our centroids and codebooks answers as the arrays say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lance_reference import CASES, lance_distances, lance_lists
from markdown_pages import python_examples

lance = pytest.importorskip("lance")
pa = pytest.importorskip("pyarrow")


def lance_index(folder: Path, arguments: dict[str, Any], rows: np.ndarray) -> Any:
    """A dataset with the rows in a column that is indexed by the arguments."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    table = pa.table({"id": pa.array(np.arange(len(rows))), "vector": column})
    dataset = lance.write_dataset(table, str(folder))
    dataset.create_index("vector", **arguments)
    return dataset


def lance_search(dataset: Any, query: np.ndarray, k: int, nprobes: int) -> tuple[np.ndarray, np.ndarray]:
    nearest = {"column": "vector", "q": query, "k": k, "nprobes": nprobes}
    found = dataset.to_table(nearest=nearest, columns=["id", "_distance"])
    return found["_distance"].to_numpy(), found["id"].to_numpy()


@pytest.mark.parametrize(("key", "metric", "name"), CASES)
def test_lance_answers(trained, rows, queries, tmp_path, key, metric, name) -> None:
    """Lance's own index of the arrays: distances are those of the arrays, and it visits the same lists."""
    index = trained(key, metric)
    copied = index.to_lance()
    stored, asked = copied.rows(rows), copied.queries(queries)
    dataset = lance_index(tmp_path / "data.lance", copied.arguments, stored)
    nlist = copied.arguments["num_partitions"]
    wanted = lance_distances(copied.arguments, stored, asked)
    best = np.sort(wanted, axis=1)
    for query, distances, row in zip(asked, wanted, best, strict=True):
        found, ids = lance_search(dataset, query, 10, nlist)
        np.testing.assert_allclose(found, row[:10], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found, distances[ids], rtol=1e-4, atol=1e-4)
    if nlist > 1:
        lists = lance_lists(copied.arguments, stored)
        ours = index.pipeline.partition.probe(asked, 1).lists[:, 0]
        for query, own in zip(asked, ours, strict=True):
            assert set(lists[lance_search(dataset, query, 10, 1)[1]]) == {own}


PAGE = Path(__file__).parents[2] / "docs" / "other-tools.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the suite runs without the source tree")
def test_the_example_of_the_page(tmp_path, monkeypatch, capsys) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (example,) = re.findall(r"<!-- tested with pylance -->\s*```python\n(.*?)```", text, re.DOTALL)
    before = [block for block in python_examples(text) if "json" not in block and "faiss" not in block]
    monkeypatch.chdir(tmp_path)
    exec("\n".join([*before[:2], example]), {})  # noqa: S102 (our own page)
    found = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"\[\d+(, \d+){9}\]", found) and found.startswith("[0,")
