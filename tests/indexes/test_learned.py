"""RepCONC(folder): what the codec says reaches the index, and the index never needs the folder again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from stored_files import what_of

from cluscomp.errors import CorruptIndexError, MalformedFileError, MissingInputError, UsageError
from cluscomp.indexes import index_factory, open_index, parse_key
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.quantization import LearnedCodec

DIM = 16


@pytest.fixture
def codec(learned_codec) -> LearnedCodec:
    return learned_codec("ip")


@pytest.fixture
def folder(codec: LearnedCodec, tmp_path: Path) -> Path:
    codec.save(tmp_path / "codec")
    return tmp_path / "codec"


def wanted_scores(codec: LearnedCodec, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """<R (W q + b), decoded row> in float64, from the formula."""
    r, w, b = (a.astype(np.float64) for a in (codec.rotation, codec.adapter_weight, codec.adapter_bias))
    decoded = codec.decode(codec.encode(rows)).astype(np.float64)
    return (queries @ w.T + b) @ r.T @ decoded.T


@pytest.mark.parametrize("key", ["RepCONC({})", "IVF8,RepCONC({})"])
def test_scores_are_those_of_the_codec(codec, folder, rows, queries, key: str) -> None:
    index = index_factory(key.format(folder), DIM).train(rows).add(rows)
    scores, ids = index.search(queries, 600, nprobe=index.spec.nlist)
    np.testing.assert_allclose(
        scores, np.take_along_axis(wanted_scores(codec, queries, rows), ids, 1), rtol=1e-4, atol=1e-4
    )


def test_without_lists_nothing_has_to_be_trained(folder, rows, queries) -> None:
    index = index_factory(f"RepCONC({folder})", DIM)
    assert index.is_trained
    assert index.code_size == 4
    plain = index.add(rows).search(queries, 5)
    after = index_factory(f"RepCONC({folder})", DIM).train(rows[:300]).add(rows).search(queries, 5)
    for got, wanted in zip(plain, after, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_lists_never_train_the_codebooks_again(codec, folder, rows) -> None:
    index = index_factory(f"IVF8,RepCONC({folder})", DIM, seed=5)
    assert not index.is_trained
    index.train(rows).add(rows)
    np.testing.assert_array_equal(index.pipeline.codec.codebooks, codec.query_centroids)
    assert not index.pipeline.uses_residuals
    segment = index.segments[0]  # codes are those of the rows, whatever their list
    np.testing.assert_array_equal(segment.codes["codes"], codec.encode(rows)[segment.positions])


def test_the_folder_may_go(folder, rows, queries, tmp_path) -> None:
    key = f"IVF8,RepCONC({folder}),RFlat"
    index = index_factory(key, DIM).train(rows).add(rows)
    index.save(tmp_path / "index")
    shutil.rmtree(folder)
    opened = open_index(tmp_path / "index", verify=True)
    assert opened.key == key
    for got, wanted in zip(opened.search(queries, 7), index.search(queries, 7), strict=True):
        np.testing.assert_array_equal(got, wanted)
    opened.add(rows + np.float32(0.5))  # encoding, saving and copying need no folder either
    opened.save(tmp_path / "more")
    assert len(open_index(tmp_path / "more")) == 1200
    assert opened.nbytes()["total"] == sum(f.stat().st_size for f in (tmp_path / "more").iterdir())
    with pytest.raises(MissingInputError, match="does not exist"):
        index_factory(key, DIM)


def test_a_codec_of_one_set_is_stored_once(codec, rows, tmp_path) -> None:
    LearnedCodec(codec.rotation, codec.document_centroids).save(tmp_path / "codec")
    index = index_factory(f"RepCONC({tmp_path / 'codec'})", DIM).add(rows)
    index.save(tmp_path / "index")
    names = sorted(what_of(tmp_path / "index", path.name) for path in (tmp_path / "index").iterdir())
    assert names == [
        "codec.document_centroids.npy",
        "manifest.json",
        "segment0.codes.npy",
        "transform0.rotation.npy",
    ]


def test_build_and_plan(folder, rows, queries, tmp_path) -> None:
    key = f"IVF8,RepCONC({folder})"
    plan = plan_build(rows, index_key=key)
    assert (plan.code_bytes_per_document, plan.key) == (4, key)
    report = build_index(rows, index_key=key, output=tmp_path / "built", seed=3)
    assert plan.index_bytes == pytest.approx(report.index_bytes, abs=8000)
    built = open_index(tmp_path / "built")
    wanted = index_factory(key, DIM, seed=3).train(rows).add(rows)
    for got, expected in zip(built.search(queries, 9), wanted.search(queries, 9), strict=True):
        np.testing.assert_array_equal(got, expected)
    plain = build_index(rows, index_key=f"RepCONC({folder})", output=tmp_path / "plain")
    assert "train" not in [stage["name"] for stage in plain.stages]


def test_faiss_has_what_queries_pass(folder, rows, queries) -> None:
    faiss = pytest.importorskip("faiss")
    index = index_factory(f"IVF8,RepCONC({folder})", DIM).train(rows).add(rows)
    copied = index.to_faiss()
    product = faiss.downcast_index(copied.index)
    centroids = faiss.vector_to_array(product.pq.centroids).reshape(4, 256, 4)
    np.testing.assert_array_equal(centroids, index.pipeline.codec.codebooks)
    assert not product.by_residual
    scores, ids = index.search(queries, 5, nprobe=3)
    product.nprobe = 3
    theirs, their_ids = copied.search(queries, 5)
    np.testing.assert_allclose(theirs, scores, rtol=1e-5)
    np.testing.assert_array_equal(their_ids, ids)


@pytest.mark.parametrize(
    ("key", "metric", "dim", "error", "fault"),
    [
        ("RepCONC({})", "ip", 24, UsageError, "trained for dim 16, but gets rows of dim 24"),
        ("PCA8,RepCONC({})", "ip", 16, UsageError, "trained for dim 16, but gets rows of dim 8"),
        ("RepCONC({})", "l2", 16, UsageError, "trained for the metric 'ip', but the index has 'l2'"),
        ("RepCONC({}/codec.json)", "ip", 16, MissingInputError, "is a file"),
        ("RepCONC()", "ip", 16, UsageError, "no known part"),
    ],
)
def test_what_does_not_fit(folder, key, metric, dim, error, fault) -> None:
    with pytest.raises(error, match=fault):
        index_factory(key.format(folder), dim, metric)


def test_a_damaged_folder_says_so(folder) -> None:
    (folder / "codec.safetensors").write_bytes(b"\x93NUMPY")
    with pytest.raises(MalformedFileError, match="no whole safetensors file"):
        index_factory(f"RepCONC({folder})", DIM)


def test_an_index_that_lost_its_codec(folder, rows, tmp_path) -> None:
    index_factory(f"RepCONC({folder})", DIM).add(rows).save(tmp_path / "index")
    manifest = tmp_path / "index" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("codec.document_centroids.npy", "codec.other.npy"))
    with pytest.raises(CorruptIndexError, match="codec.document_centroids"):
        open_index(tmp_path / "index")


def test_a_key_by_itself_reads_nothing() -> None:
    spec = parse_key("IVF8,RepCONC(no/such, folder),RFlat")
    assert str(spec) == "IVF8,RepCONC(no/such, folder),RFlat"
    with pytest.raises(UsageError, match="index_factory"):
        spec.stage_dims(16)
