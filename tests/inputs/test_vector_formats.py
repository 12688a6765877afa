"""Vectors in .npz, .fvecs, .bvecs, .fbin and Parquet files: values, ids, and files that are damaged."""

import sys

import numpy as np
import pytest
from vector_files import same_rows, write_bin, write_fvecs

from cluscomp import errors
from cluscomp.inputs import open_embeddings

X = np.arange(40, dtype=np.float32).reshape(10, 4) / 3 - 5


# ---- npz -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    save(tmp_path / "one.npz", X)
    same_rows(open_embeddings(tmp_path / "one.npz"), X)
    save(tmp_path / "two.npz", embeddings=X, ids=np.arange(10) * 2, other=np.zeros(3))
    source = open_embeddings(tmp_path / "two.npz")
    same_rows(source, X)
    assert source.ids.tolist() == list(range(0, 20, 2))
    save(tmp_path / "named.npz", anything=X, ids=np.array([f"d{i}" for i in range(10)]))
    assert open_embeddings(tmp_path / "named.npz").ids == [f"d{i}" for i in range(10)]


def test_npz_faults(tmp_path):
    np.savez(tmp_path / "x.npz", a=X, b=X)
    with pytest.raises(errors.MalformedFileError, match=r"\['a', 'b'\].*'embeddings'"):
        open_embeddings(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=X, ids=np.arange(9))
    with pytest.raises(errors.DimensionError, match="9 ids for 10 vectors"):
        open_embeddings(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=X, ids=np.array([object()] * 10))
    with pytest.raises(errors.InputError, match="ids"):
        open_embeddings(tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-30])
    with pytest.raises(errors.MalformedFileError, match=r"no complete \.npz"):
        open_embeddings(tmp_path / "x.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_damaged_bytes(tmp_path, save, rng):
    path = tmp_path / "x.npz"
    save(path, rng.normal(size=(200, 8)).astype(np.float32))
    data = bytearray(path.read_bytes())
    data[2000:2040] = bytes(40)
    path.write_bytes(data)
    source = open_embeddings(path)
    with pytest.raises(errors.MalformedFileError, match=r"x\.npz.*damaged"):
        source.read(0, 200)


# ---- fvecs, fbin -----------------------------------------------------------------------------------


def test_fvecs_and_bvecs(tmp_path):
    write_fvecs(tmp_path / "x.fvecs", X)
    same_rows(open_embeddings(tmp_path / "x.fvecs"), X)
    codes = np.arange(40, dtype=np.uint8).reshape(10, 4)
    write_fvecs(tmp_path / "x.bvecs", codes, np.uint8)
    same_rows(open_embeddings(tmp_path / "x.bvecs"), codes.astype(np.float32))


def test_fvecs_with_a_row_of_another_dim(tmp_path):
    rows = [X[0], X[1], np.r_[X[2], X[3]][:4], X[4]]
    write_fvecs(tmp_path / "x.fvecs", rows)
    data = bytearray((tmp_path / "x.fvecs").read_bytes())
    data[40:44] = np.int32(3).tobytes()
    (tmp_path / "x.fvecs").write_bytes(data)
    source = open_embeddings(tmp_path / "x.fvecs")
    with pytest.raises(errors.DimensionError, match="row 2 has dim 3, row 0 has dim 4"):
        list(source.blocks(2))


@pytest.mark.parametrize(
    ("suffix", "dtype"), [("fbin", "<f4"), ("f16bin", "<f2"), ("u8bin", "u1"), ("i8bin", "i1")]
)
def test_bin_files(tmp_path, suffix, dtype):
    x = np.abs(X).astype(dtype)
    write_bin(tmp_path / f"x.{suffix}", x, dtype)
    same_rows(
        open_embeddings(tmp_path / f"x.{suffix}"), x.astype(np.float16 if dtype == "<f2" else np.float32)
    )


@pytest.mark.parametrize(
    ("name", "data", "fault", "message"),
    [
        ("x.fvecs", b"", errors.EmptyInputError, "0 rows"),
        ("x.fvecs", b"\x04\x00", errors.MalformedFileError, "has 2 bytes"),
        ("x.fvecs", b"\xff\xff\xff\xff" * 5, errors.MalformedFileError, "dim -1"),
        (
            "x.fvecs",
            np.int32(4).tobytes() + bytes(17),
            errors.MalformedFileError,
            "take 20 bytes, 21 bytes are 1 rows and 1",
        ),
        ("x.fbin", b"\x01\x00\x00", errors.MalformedFileError, "has 3 bytes"),
        (
            "x.fbin",
            np.array([2, 4], "<u4").tobytes() + bytes(31),
            errors.MalformedFileError,
            "need 40 bytes, the file has 39",
        ),
        (
            "x.fbin",
            np.array([2, 4], "<u4").tobytes() + bytes(33),
            errors.MalformedFileError,
            "after its last row",
        ),
        ("x.fbin", np.array([0, 4], "<u4").tobytes(), errors.EmptyInputError, "0 rows"),
        ("x.fbin", np.array([2, 0], "<u4").tobytes(), errors.MalformedFileError, "dim 0"),
        (
            "x.fbin",
            b"\x93NUMPY\x01\x00" + bytes(20),
            errors.MalformedFileError,
            r"NumPy \.npy.*name it \.npy",
        ),
    ],
)
def test_bad_vecs_files(tmp_path, name, data, fault, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(fault, match=message):
        open_embeddings(tmp_path / name)


# ---- parquet ---------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def write(row_group_size=4, **columns):
        pq.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=row_group_size)
        return tmp_path / "x.parquet"

    write.pa = pa
    return write


def fixed(pa, x, kind):
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel(), kind), x.shape[1])


@pytest.mark.parametrize("group", [1, 3, 4, 100])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int32"])
def test_parquet_fixed_size_lists(parquet, kind, group):
    x = X.astype(kind)
    path = parquet(
        group, embedding=fixed(parquet.pa, x, getattr(parquet.pa, kind)()), id=[f"d{i}" for i in range(10)]
    )
    source = open_embeddings(path)
    same_rows(source, x.astype(np.float16 if kind == "float16" else np.float32))
    assert source.ids == [f"d{i}" for i in range(10)]


def test_parquet_plain_lists_and_integer_ids(parquet):
    path = parquet(docid=list(range(10, 20)), whatever=X.tolist(), text=["x"] * 10)
    source = open_embeddings(path)
    same_rows(source, X)
    assert source.ids.tolist() == list(range(10, 20))


def test_parquet_faults(parquet):
    pa = parquet.pa
    rows = X.tolist()
    cases = [
        (
            {"vector": [*rows[:6], rows[6][:3], *rows[7:]]},
            errors.DimensionError,
            "row 6 has dim 3, row 0 has dim 4",
        ),
        ({"vector": [*rows[:6], None]}, errors.MalformedFileError, "is null in row 6"),
        ({"vector": [None, *rows[:6]]}, errors.MalformedFileError, "is null in row 0"),
        ({"vector": [[1.0, None], [1.0, 2.0]]}, errors.MalformedFileError, "holds a null in row 0"),
        ({"vector": [[], []]}, errors.MalformedFileError, r"0 columns of number lists|0 dimensions"),
        ({"a": rows, "b": rows}, errors.MalformedFileError, r"2 columns of number lists.*'embedding'"),
        ({"text": ["x"]}, errors.MalformedFileError, "0 columns of number lists"),
        ({"vector": rows, "id": ["a"] * 10}, errors.DuplicateIdError, "positions 0 and 1"),
        (
            {"vector": rows, "id": [None, *"abcdefghi"]},
            errors.MalformedFileError,
            r"'id' \(its ids\) is null in row 0",
        ),
        ({"vector": rows, "id": [0.5] * 10}, errors.DTypeError, "type double"),
        ({"vector": pa.array([], pa.list_(pa.float32()))}, errors.EmptyInputError, "0 rows"),
    ]
    for columns, fault, message in cases:
        path = parquet(**columns)
        with pytest.raises(fault, match=message):
            list(open_embeddings(path).blocks(3))


def test_parquet_truncated(parquet):
    path = parquet(vector=X.tolist())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(errors.MalformedFileError, match="no complete Parquet"):
        open_embeddings(path)


def test_parquet_without_pyarrow(parquet, monkeypatch):
    path = parquet(vector=X.tolist())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(errors.OptionalDependencyError, match=r"cluscomp\[parquet\]"):
        open_embeddings(path)
