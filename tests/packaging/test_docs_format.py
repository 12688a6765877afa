"""docs/format.md tells the truth: its example is read as it says, and what it prints is what is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from markdown_pages import page_script, python_examples
from stored_files import file_of

import cluscomp as cc
from cluscomp.indexes.stages.code_layout import plain_codes

ANY = "..."


@pytest.fixture(scope="module")
def page() -> str:
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("the suite runs without the source tree")
    return (root / "docs" / "format.md").read_text(encoding="utf-8")


@pytest.fixture
def example(page, tmp_path, run_script) -> Path:
    """The folder in which the page's example was made and read; found.npz holds what NumPy alone found."""
    end = '\nnp.savez("found.npz", ids=ids, scores=scores[best])\n'
    run_script(page_script(page) + end, tmp_path)
    return tmp_path


def test_numpy_alone_finds_what_search_finds(example):
    found = np.load(example / "found.npz")
    query = np.load(example / "vectors.npy")[7]
    scores, ids = cc.open_index(example / "example.index").search(query, k=5, nprobe=2)
    np.testing.assert_array_equal(found["ids"], ids[0])
    np.testing.assert_allclose(found["scores"], scores[0], rtol=1e-5)


def test_the_manifest_and_the_table_of_files_are_those_of_the_example(page, example):
    manifest = json.loads((example / "example.index" / "manifest.json").read_text(encoding="utf-8"))
    shown = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    assert fits(shown, json.loads(without_digits(json.dumps(manifest))))
    rows = re.findall(r"^\| `([\w.]+)` \| (\d+) \| `(.+?)` \| \((.+)\) \|$", page, re.MULTILINE)
    listed = {
        name: (int(size), dtype.replace("\\", ""), [int(n) for n in shape.split(",") if n.strip()])
        for name, size, dtype, shape in rows
    }
    assert listed == {
        without_digits(name): (entry["bytes"], entry["dtype"], entry["shape"])
        for name, entry in manifest["files"].items()
    }


def without_digits(text: str) -> str:
    return re.sub(r"\b([ps])[0-9a-f]{16}\b", r"\1HEX", text)


def fits(shown, real) -> bool:
    if isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
        return all(map(fits, shown, real))
    if isinstance(shown, dict):
        return shown.keys() == real.keys() and all(fits(shown[name], real[name]) for name in shown)
    return shown in (ANY, real)


@pytest.mark.parametrize("key", ["PQ8x4", "IVF7,PQ8x4", "IVF5,SQ4", "RR,IVF5,RaBitQ2"])
def test_four_bit_codes_are_brought_into_plain_order_as_the_page_does_it(page, rng, key):
    names = {"np": np}
    exec(next(block for block in python_examples(page) if "def plain_codes" in block), names)  # noqa: S102
    rows = rng.normal(size=(500, 16)).astype("f4")
    index = cc.index_factory(key, 16, "l2").train(rows).add(rows)
    (segment,) = index.segments
    plain = names["plain_codes"](segment.codes["codes"], segment.offsets)
    np.testing.assert_array_equal(
        plain, plain_codes(index.pipeline.codec, segment.codes, segment.offsets)["codes"]
    )


def test_the_prescreen_stands_for_the_rows_within_its_error_bound(rng, tmp_path):
    rows = rng.normal(size=(37, 10)).astype("f4")
    cc.index_factory("Flat", 10).add(rows).save(tmp_path / "i")
    values, terms, frame = (
        np.load(file_of(tmp_path / "i", f"segment0.shadow_{name}")) for name in ("values", "terms", "frame")
    )
    panels = -(-len(rows) // 16)
    values = values.reshape(panels, 3, 16, 4).transpose(0, 2, 1, 3).reshape(panels * 16, 12)[:37, :10]
    scale, _, error, _ = terms.reshape(panels, 4, 16).transpose(1, 0, 2).reshape(4, -1)[:, :37]
    assert values.min() >= 1 and values.max() <= 127
    stands_for = frame[:-1] + scale[:, None] * (values.astype(np.float64) - 64)
    assert (np.linalg.norm(rows - stands_for, axis=1) <= error).all()
    assert frame[-1] >= np.linalg.norm(rows, axis=1).max()
