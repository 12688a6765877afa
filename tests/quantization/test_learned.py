"""LearnedCodec: scores by hand, the folder and its faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cluscomp import errors
from cluscomp.quantization import LearnedCodec, ProductQuantizer, random_rotation

DIM, M = 12, 3


@pytest.fixture
def codec(rng: np.random.Generator) -> LearnedCodec:
    books = rng.standard_normal((M, 16, 3)).astype(np.float32)
    return LearnedCodec(
        random_rotation(DIM, 9, 1).matrix,
        books,
        books + np.float32(0.1),
        adapter_weight=np.eye(DIM) + 0.1 * rng.standard_normal((DIM, DIM)),
        adapter_bias=rng.standard_normal(DIM),
        provenance={"seed": 3},
    )


def test_scores_by_hand() -> None:
    """RepCONC's example: tables [1, 2] and [6, -4] for the query (1, 2, 3, 4); codes (1, 0) score 2 + 6."""
    books = np.full((2, 16, 2), 1e3, np.float32)
    books[0, :2], books[1, :2] = [[1, 0], [0, 1]], [[2, 0], [0, -1]]
    plain = LearnedCodec(np.eye(4), books)
    codes = plain.encode(np.array([[0.2, 0.9, 1.7, 0.1]]))
    assert codes.tolist() == [[0b0000_0001]]
    query = np.array([[1.0, 2, 3, 4]])
    assert (plain.rotate_queries(query) @ plain.decode(codes).T).item() == 8
    # Codes are those of the document centroids, scores those of the query centroids, queries pass W q + b.
    shifted = LearnedCodec(
        np.eye(4), books, books + 1, adapter_weight=2 * np.eye(4), adapter_bias=[1, 0, 0, 0]
    )
    assert shifted.encode(np.array([[0.2, 0.9, 1.7, 0.1]])).tolist() == codes.tolist()
    assert shifted.rotate_queries(query).tolist() == [[3, 4, 6, 8]]
    assert (shifted.rotate_queries(query) @ shifted.decode(codes).T).item() == 3 * 1 + 4 * 2 + 6 * 3 + 8 * 1


def test_sixteen_bit_rows_are_read_as_what_they_are(codec, rng) -> None:
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(rng.standard_normal((50, DIM)).astype(np.float32))
    for dtype in (torch.float16, torch.bfloat16):
        np.testing.assert_array_equal(codec.encode(rows.to(dtype)), codec.encode(rows.to(dtype).float()))


def test_a_quantizer_as_codec_gives_the_same_codes(rng) -> None:
    x = rng.standard_normal((400, DIM)).astype(np.float32)
    quantizer = ProductQuantizer(DIM, M, 6, rotation="opq", n_iter=3).train(x)
    assert quantizer.rotation_ is not None
    codec = LearnedCodec(quantizer.rotation_.matrix, quantizer.centroids)
    np.testing.assert_array_equal(codec.encode(x), quantizer.encode(x))
    np.testing.assert_allclose(
        quantizer.rotation_.inverse(codec.decode(codec.encode(x))), quantizer.decode(quantizer.encode(x))
    )
    assert (codec.code_size, codec.nbits, codec.is_orthonormal) == (3, 6, True)


def test_folder_keeps_all_bits(codec: LearnedCodec, tmp_path, rng) -> None:
    codec.save(tmp_path / "codec")
    assert sorted(p.name for p in (tmp_path / "codec").iterdir()) == ["codec.json", "codec.safetensors"]
    opened = LearnedCodec.load(tmp_path / "codec")
    assert opened.settings() == codec.settings()
    for name, array in codec.arrays().items():
        np.testing.assert_array_equal(opened.arrays()[name], array)
    x = rng.standard_normal((50, DIM))
    np.testing.assert_array_equal(opened.encode(x), codec.encode(x))
    np.testing.assert_array_equal(opened.rotate_queries(x), codec.rotate_queries(x))


def test_saving_replaces_codecs_only(codec: LearnedCodec, tmp_path) -> None:
    codec.save(tmp_path / "codec")
    with pytest.raises(errors.OutputExistsError, match="if_exists='replace'"):
        codec.save(tmp_path / "codec")
    codec.save(tmp_path / "codec", if_exists="replace")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.OutputExistsError, match="not a codec"):
        codec.save(tmp_path / "mine", if_exists="replace")
    with pytest.raises(errors.UsageError, match="known are: fail, replace"):
        codec.save(tmp_path / "codec", if_exists="append")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codec", "mine"]


def test_a_failed_save_leaves_nothing(codec: LearnedCodec, tmp_path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluscomp.quantization.learned.atomic_json", full)
    with pytest.raises(errors.DiskFullError, match="nothing was changed"):
        codec.save(tmp_path / "codec")
    assert not list(tmp_path.iterdir())


def edit(folder: Path, **fields: Any) -> None:
    settings = json.loads((folder / "codec.json").read_text())
    (folder / "codec.json").write_text(json.dumps({**settings, **fields}))


def rewrite(folder: Path, **arrays: np.ndarray | None) -> None:
    kept = {**load_file(folder / "codec.safetensors"), **arrays}
    save_file({k: v for k, v in kept.items() if v is not None}, folder / "codec.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_arrays(codec: LearnedCodec, tmp_path, keep: int) -> None:
    codec.save(tmp_path / "codec")
    file = tmp_path / "codec" / "codec.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(errors.MalformedFileError, match="truncated"):
        LearnedCodec.load(tmp_path / "codec")


def test_foreign_and_missing_files(codec: LearnedCodec, tmp_path) -> None:
    folder = tmp_path / "codec"
    with pytest.raises(errors.MissingInputError, match="does not exist"):
        LearnedCodec.load(folder)
    codec.save(folder)
    with pytest.raises(errors.MissingInputError, match="is a file"):
        LearnedCodec.load(folder / "codec.json")
    (folder / "codec.safetensors").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\n"
    )
    with pytest.raises(errors.MalformedFileError, match="git-LFS"):
        LearnedCodec.load(folder)
    (folder / "codec.safetensors").unlink()
    with pytest.raises(errors.MissingInputError, match="not copied as a whole"):
        LearnedCodec.load(folder)
    for text, fault in (
        ("{", "not valid JSON"),
        ("[1]", "another tool"),
        ('{"format": "peft"}', "another tool"),
    ):
        (folder / "codec.json").write_text(text)
        with pytest.raises(errors.MalformedFileError, match=fault):
            LearnedCodec.load(folder)
    (folder / "codec.json").unlink()
    with pytest.raises(errors.MissingInputError, match=r"no codec\.json"):
        LearnedCodec.load(folder)


@pytest.mark.parametrize(
    ("fields", "kind", "fault"),
    [
        ({"version": 2}, errors.NewerFormatError, "version 2, but this cluscomp reads version 1"),
        ({"version": True}, errors.MalformedFileError, "'version' must be of type int"),
        ({"provenance": None}, errors.MalformedFileError, "'provenance' must be of type dict"),
        ({"m": 4}, errors.DimensionError, "says m=4, but the arrays .* have m=3"),
        ({"dim": 384}, errors.DimensionError, "says dim=384, but the arrays .* have dim=12"),
        ({"metric": "dot"}, errors.UsageError, "'dot' is unknown"),
    ],
)
def test_settings_that_do_not_fit(codec: LearnedCodec, tmp_path, fields, kind, fault) -> None:
    codec.save(tmp_path / "codec")
    edit(tmp_path / "codec", **fields)
    with pytest.raises(kind, match=fault):
        LearnedCodec.load(tmp_path / "codec")


@pytest.mark.parametrize(
    ("arrays", "kind", "fault"),
    [
        ({"rotation": None}, errors.MalformedFileError, "'rotation'.* are needed"),
        ({"query_adapter.bias": None}, errors.MalformedFileError, "both or neither"),
        ({"weights": np.zeros(2, "f")}, errors.MalformedFileError, "weights"),
        ({"rotation": np.eye(12)}, errors.DTypeError, "rotation is F64, but F32"),
        ({"rotation": np.eye(12, dtype="f")}, errors.DimensionError, r"\(3, 16, 3\), but .*12 / m"),
        (
            {"query_centroids": np.zeros((9, 16, 1), "f")},
            errors.DimensionError,
            r"query_centroids have shape",
        ),
        ({"document_centroids": np.full((3, 16, 3), np.nan, "f")}, errors.NonFiniteError, "NaN"),
        ({"query_adapter.weight": np.eye(9, 12, dtype="f")}, errors.DimensionError, r"\(12, 12\)"),
    ],
)
def test_arrays_that_do_not_fit(codec: LearnedCodec, tmp_path, arrays, kind, fault) -> None:
    codec.save(tmp_path / "codec")
    rewrite(tmp_path / "codec", **arrays)
    with pytest.raises(kind, match=fault):
        LearnedCodec.load(tmp_path / "codec")


def test_what_l2_cannot_have(rng) -> None:
    books = rng.standard_normal((2, 16, 2))
    with pytest.raises(errors.UsageError, match="query adapter would change distances"):
        LearnedCodec(np.eye(4), books, adapter_weight=np.eye(4), adapter_bias=np.zeros(4), metric="l2")
    with pytest.raises(errors.UsageError, match="orthonormal"):
        LearnedCodec(2 * np.eye(4), books, metric="l2")
    with pytest.raises(errors.UsageError, match="both adapter_weight"):
        LearnedCodec(np.eye(4), books, adapter_weight=np.eye(4))
    with pytest.raises(errors.DimensionError, match="must not raise"):
        LearnedCodec(np.ones((5, 4)), books)
