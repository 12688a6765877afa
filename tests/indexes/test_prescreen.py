"""Search through the 8-bit prescreen gives what search without it gives, bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stored_files import file_name, file_of

from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build.writer import IndexWriter

PAIRS = [("Flat(noshadow)", "Flat"), ("SQfp16", "SQfp16(shadow)"), ("PCA8,Flat(noshadow)", "PCA8,Flat")]


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize(("plain_key", "fast_key"), PAIRS)
def test_same_results_also_after_adding_deleting_and_opening(rng, tmp_path, plain_key, fast_key, metric):
    rows, queries = rng.normal(size=(700, 20)).astype("f4"), rng.normal(size=(30, 20)).astype("f4")
    plain, fast = (
        index_factory(key, 20, metric).train(rows).add(rows[:400]) for key in (plain_key, fast_key)
    )
    fast.save(tmp_path / "i")
    fast = open_index(tmp_path / "i")
    for index in (plain, fast):
        index.add(rows[400:])
        index.delete([3, 500, 699])
    assert plain.nbytes()["shadow"] == 0
    assert fast.nbytes()["shadow"] >= 700 * (fast.pipeline.codec.dim + 16)
    for k in (1, 50):
        for got, want in zip(fast.search(queries, k), plain.search(queries, k), strict=True):
            np.testing.assert_array_equal(got, want)
    for got, want in zip(fast.search(queries[0], 5), plain.search(queries[0], 5), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("key", ["Flat", "SQfp16(shadow)", "PCA5,Flat"])
@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 20])
def test_a_streamed_index_has_the_same_bytes(rng, tmp_path, key, block_bytes):
    rows = rng.normal(size=(333, 7)).astype("f4")
    index = index_factory(key, 7, "l2").train(rows)
    with IndexWriter(index, tmp_path / "streamed", max_block_bytes=block_bytes) as writer:
        writer.add(rows[:100])
        writer.add(rows[100:])
        writer.finish()
    index.add(rows).save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert file_name(tmp_path / "saved", "segment0.shadow_values") in names
    assert {path.name for path in (tmp_path / "streamed").iterdir()} == names
    for name in names - {"manifest.json"}:
        assert (tmp_path / "streamed" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes(), name


def test_the_folder_counts_the_prescreen(rng, tmp_path):
    index = index_factory("Flat", 384).add(rng.normal(size=(160, 384)).astype("f4"))
    index.save(tmp_path / "i")
    assert index.nbytes()["shadow"] == 160 * (384 + 16) + 385 * 4 + 3 * 128
    sizes = sum(path.stat().st_size for path in (tmp_path / "i").iterdir())
    assert open_index(tmp_path / "i", verify=True).nbytes()["total"] == sizes


def test_an_index_stored_without_prescreen_is_searched_row_by_row(rng, tmp_path):
    rows = rng.normal(size=(50, 6)).astype("f4")
    index = index_factory("Flat", 6).add(rows)
    index.save(tmp_path / "i")
    file = tmp_path / "i" / "manifest.json"
    manifest = json.loads(file.read_text())
    for name in [name for name in manifest["files"] if "shadow" in name]:
        del manifest["files"][name]
    file.write_text(json.dumps(manifest))
    opened = open_index(tmp_path / "i")
    assert opened.nbytes()["shadow"] == 0
    for got, want in zip(opened.search(rows, 5), index.search(rows, 5), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_damaged_frame_is_refused(rng, tmp_path):
    index_factory("Flat", 6).add(rng.normal(size=(50, 6)).astype("f4")).save(tmp_path / "i")
    file = file_of(tmp_path / "i", "segment0.shadow_frame")
    file.write_bytes(file.read_bytes()[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(CorruptIndexError, match="shadow_frame"):
        open_index(tmp_path / "i")


@pytest.mark.parametrize("key", ["IVF2,Flat(noshadow)", "IVF2,SQfp16(shadow)"])
def test_lists_have_no_prescreen(key):
    with pytest.raises(UsageError, match="lists have no prescreen"):
        index_factory(key, 8)
    assert not index_factory("IVF2,Flat", 8).spec.has_prescreen
