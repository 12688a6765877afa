import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.inputs import ArraySource, open_embeddings, read_ids, rowfile

X = np.arange(40, dtype=np.float32).reshape(10, 4) / 3 - 5


def same_rows(source, expected):
    assert (source.n, source.dim, source.dtype) == (*expected.shape, expected.dtype)
    n = len(expected)
    for rows in (1, 3, n, n + 1):
        blocks = list(source.blocks(rows))
        assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
        assert all(block.dtype == expected.dtype and block.flags.c_contiguous for block in blocks)
        assert np.array_equal(np.concatenate(blocks), expected)
    assert np.array_equal(source.read(2, n - 1), expected[2 : n - 1])
    assert source.read(1, 1).shape == (0, expected.shape[1])
    for chosen in [[], [n - 1], [0, 1, 1, 4, n - 1], list(range(n))]:
        assert np.array_equal(source.take(np.array(chosen, np.int64)), expected[chosen])
    with pytest.raises(errors.UsageError, match="rows 0 to"):
        source.read(0, n + 1)
    with pytest.raises(errors.UsageError, match="ascend"):
        source.take(np.array([1, 0]))


def write_fvecs(path, x, dtype="<f4"):
    rows = [np.int32(len(row)).tobytes() + np.asarray(row, dtype).tobytes() for row in x]
    path.write_bytes(b"".join(rows))


def write_bin(path, x, dtype):
    path.write_bytes(np.array(x.shape, "<u4").tobytes() + x.astype(dtype).tobytes())


# ---- npy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<f8", ">f4", ">f2", "<i8", "u1", "?"])
def test_npy_of_any_number_type(tmp_path, dtype):
    x = (X * 2).astype(dtype) if dtype != "?" else X > 0
    np.save(tmp_path / "x.npy", x)
    same_rows(
        open_embeddings(tmp_path / "x.npy"), x.astype(np.float16 if dtype.endswith("f2") else np.float32)
    )


def test_npy_bfloat16_as_ml_dtypes_saves_it(tmp_path):
    bits = (X.view(np.uint32) >> 16).astype(np.uint16)
    np.save(tmp_path / "x.npy", bits.view("V2"))
    same_rows(open_embeddings(tmp_path / "x.npy"), (bits.astype(np.uint32) << 16).view(np.float32))


def test_unsigned_integers_are_numbers_not_bfloat16_bits(tmp_path):
    np.save(tmp_path / "x.npy", np.full((3, 2), 16256, np.uint16))
    assert open_embeddings(tmp_path / "x.npy").read(0, 1).tolist() == [[16256.0, 16256.0]]


def test_npy_version_2_header_and_fortran_vector(tmp_path):
    with (tmp_path / "x.npy").open("wb") as handle:
        np.lib.format.write_array(handle, X, version=(2, 0))
    same_rows(open_embeddings(tmp_path / "x.npy"), X)
    np.save(tmp_path / "one.npy", np.asfortranarray(X[:, :1]))
    same_rows(open_embeddings(tmp_path / "one.npy"), X[:, :1])


def test_nan_rows_pass_and_what_is_beyond_float32_is_named(tmp_path):
    x = X.astype(np.float64)
    x[1, 1], x[2, 2] = np.nan, 1e300
    np.save(tmp_path / "x.npy", x)
    source = open_embeddings(tmp_path / "x.npy")
    assert np.isnan(source.read(0, 2)[1, 1])
    with pytest.raises(errors.TooLargeError, match=r"x\.npy: row 2 holds 1e\+300, but the largest float32"):
        source.read(0, 3)
    (tmp_path / "ids.txt").write_text("".join(f"d{i}\n" for i in range(len(X))))
    source = open_embeddings(tmp_path / "x.npy", tmp_path / "ids.txt")
    for read in (
        lambda: source.read(1, 3),
        lambda: source.take(np.array([0, 2])),
        lambda: list(source.blocks(2)),
    ):
        with pytest.raises(errors.TooLargeError, match=r"row 2 \(id 'd2'\) holds 1e\+300"):
            read()
    with pytest.raises(errors.TooLargeError, match="embeddings: row 2 holds"):
        ArraySource(x).read(1, 3)


@pytest.mark.parametrize(
    ("array", "fault", "message"),
    [
        (np.zeros(3), errors.DimensionError, r"shape \(3,\)"),
        (np.zeros((2, 3, 4)), errors.DimensionError, r"shape \(2, 3, 4\)"),
        (np.zeros((0, 4)), errors.EmptyInputError, "0 rows"),
        (np.zeros((4, 0)), errors.DimensionError, "0 dimensions"),
        (np.zeros((3, 4), complex), errors.DTypeError, "complex128"),
        (np.array([["a", "b"]]), errors.DTypeError, "<U1"),
        (np.array([[1, "a"]], object), errors.DTypeError, "pickle"),
        (np.zeros((3, 4), [("a", "f4")]), errors.DTypeError, "dtype"),
        (np.asfortranarray(np.zeros((3, 4))), errors.MalformedFileError, "Fortran order.*ascontiguousarray"),
    ],
)
def test_npy_arrays_that_cannot_be_used(tmp_path, array, fault, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(fault, match=message):
        open_embeddings(tmp_path / "x.npy")


@pytest.mark.parametrize("change", [-1, -100, 7])
def test_npy_of_wrong_length_says_both(tmp_path, change):
    path = tmp_path / "x.npy"
    np.save(path, X)
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + b"x" * change)
    fault = "truncated" if change < 0 else "bytes after its last row"
    with pytest.raises(
        errors.MalformedFileError, match=rf"{fault}.*10 rows of 4.*{len(data)}.*{len(data) + change}"
    ):
        open_embeddings(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no complete .npy"),
        (b"\x93NUMPY\x01\x00", "no complete .npy"),
        (b"\x93NUMPY\x01\x00\x08\x00{'descr'", "no complete .npy"),
        (b"\x93NUMPY\x09\x00" + b" " * 80, "version"),
        (b"hello world", "no complete .npy"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"IxFI\x00\x00", "no complete .npy"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 5\n", "git lfs pull"),
    ],
)
def test_files_that_are_no_npy(tmp_path, data, message):
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(errors.MalformedFileError, match=message):
        open_embeddings(tmp_path / "x.npy")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 127), st.integers(0, 255))
def test_a_flipped_header_byte_is_a_typed_error_or_still_readable(tmp_path_factory, position, value):
    path = tmp_path_factory.mktemp("flip") / "x.npy"
    np.save(path, X)
    data = bytearray(path.read_bytes())
    data[position] = value
    path.write_bytes(data)
    try:
        source = open_embeddings(path)
    except errors.InputError:
        return
    assert source.read(0, source.n).shape == (source.n, source.dim)


def test_a_file_that_shrinks_after_opening(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    source = open_embeddings(path)
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(errors.MalformedFileError, match="truncated: rows 0 to 10 need 160 bytes, 155"):
        source.read(0, 10)


def test_take_groups_near_rows_and_splits_far_ones(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(rowfile, "_GAP_BYTES", 40)
    monkeypatch.setattr(rowfile, "_SPAN_BYTES", 100)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    source = open_embeddings(tmp_path / "x.npy")
    for size in (1, 2, 50, 400):
        rows = np.sort(rng.choice(500, size))
        assert np.array_equal(source.take(rows), x[rows])


@pytest.mark.parametrize("kind", ["npy", "memmap", "npz"])
def test_reading_a_large_file_keeps_memory_small(tmp_path, kind):
    """Resident memory stays within a few blocks of 1.6 MB while 96 MB go by."""
    shape = (60_000, 400)
    if kind == "npz":
        np.savez(tmp_path / "x.npz", np.ones(shape, np.float32))
    else:
        out = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
        out[:] = 1
        out.flush()
    opener = {
        "npy": "open_embeddings('x.npy')",
        "memmap": "ArraySource(np.load('x.npy', mmap_mode='r'))",
        "npz": "open_embeddings('x.npz')",
    }[kind]
    code = f"""
import numpy as np
from cluscomp.inputs import ArraySource, open_embeddings
def resident():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS"))
source = {opener}
source.read(0, 1000)
base, peak, total = resident(), 0, 0.0
for block in source.blocks(1000):
    total += float(block[:, 0].sum())
    peak = max(peak, resident())
assert total == 60000, total
source.take(np.arange(0, 60000, 300))
print(max(peak, resident()) - base)
"""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc to read resident memory")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16_000  # KiB


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


# ---- folders of parts, ids -------------------------------------------------------------------------


def test_parts_in_order_of_names(tmp_path):
    for name, rows in [("b.npy", X[3:4]), ("a.npy", X[:3]), ("c.npy", X[4:])]:
        np.save(tmp_path / name, rows)
    (tmp_path / "notes.txt").write_text("not a part")
    source = open_embeddings(tmp_path)
    same_rows(source, X)
    assert source.ids is None


def test_parts_with_ids(tmp_path):
    np.savez(tmp_path / "a.npz", embeddings=X[:3], ids=np.arange(3))
    np.savez(tmp_path / "b.npz", embeddings=X[3:], ids=np.arange(3, 10))
    source = open_embeddings(tmp_path)
    assert source.ids.tolist() == list(range(10))
    np.savez(tmp_path / "b.npz", embeddings=X[3:], ids=np.arange(2, 9))
    with pytest.raises(
        errors.DuplicateIdError, match="two parts share an id.*id 2 stands at positions 2 and 3"
    ):
        open_embeddings(tmp_path)
    np.savez(tmp_path / "b.npz", embeddings=X[3:])
    with pytest.raises(errors.MalformedFileError, match=r"b\.npz has no ids"):
        open_embeddings(tmp_path)


def test_parts_that_do_not_fit(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", X[:, :3])
    with pytest.raises(errors.DimensionError, match=r"b\.npy has dim 3, .*a\.npy has dim 4"):
        open_embeddings(tmp_path)
    np.save(tmp_path / "b.npy", X.astype(np.float16))
    with pytest.raises(errors.DTypeError, match=r"b\.npy has dtype float16, .*float32"):
        open_embeddings(tmp_path)
    np.savez(tmp_path / "c.npz", X)
    with pytest.raises(errors.UsageError, match=r"several kinds \(\.npy, \.npz\)"):
        open_embeddings(tmp_path)


def test_folder_without_vectors(tmp_path):
    with pytest.raises(errors.MissingInputError, match="no file of vectors"):
        open_embeddings(tmp_path)


def test_ids_from_files(tmp_path):
    np.save(tmp_path / "x.npz.npy", X)
    path = tmp_path / "x.npz.npy"
    (tmp_path / "ids.txt").write_bytes(
        "007\r\n7\r\nGeneva Durben\r\nü".encode() + b"\r\n" + b"\r\n".join(b"%d" % i for i in range(10, 16))
    )
    ids = open_embeddings(path, tmp_path / "ids.txt").ids
    assert ids == ["007", "7", "Geneva Durben", "ü", *map(str, range(10, 16))]
    np.save(tmp_path / "ids.npy", np.arange(10, dtype=np.int32))
    assert open_embeddings(path, tmp_path / "ids.npy").ids.dtype == np.int64
    np.save(tmp_path / "ids.npy", np.array(list("abcdefghij")))
    assert open_embeddings(path, tmp_path / "ids.npy").ids == list("abcdefghij")


def test_given_ids_take_the_place_of_those_inside(tmp_path):
    np.savez(tmp_path / "x.npz", embeddings=X[:2], ids=np.arange(2))
    (tmp_path / "ids.txt").write_text("a\nb\n")
    assert open_embeddings(tmp_path / "x.npz", tmp_path / "ids.txt").ids == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "fault", "message"),
    [
        ("a\nb\n", errors.DimensionError, r"ids\.txt: there are 2 ids for 3 vectors"),
        ("a\nb\nc\nd\n", errors.DimensionError, "4 ids for 3"),
        ("a\nb\na\n", errors.DuplicateIdError, "'a' stands at positions 0 and 2"),
        ("a\n\nb\n", errors.MalformedFileError, r"ids\.txt:2: the id is blank"),
    ],
)
def test_bad_id_files(tmp_path, text, fault, message):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(fault, match=message):
        read_ids(tmp_path / "ids.txt", 3)


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        (np.zeros((3, 1), int), errors.DimensionError),
        (np.zeros(3), errors.DTypeError),
        (np.array([None, 1, 2], object), errors.MalformedFileError),
    ],
)
def test_bad_id_arrays(tmp_path, array, fault):
    np.save(tmp_path / "ids.npy", array, allow_pickle=True)
    with pytest.raises(fault, match=r"ids\.npy"):
        read_ids(tmp_path / "ids.npy", 3)


def test_unknown_and_missing_files(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(errors.UsageError, match=r"cannot tell the format of .*x\.pkl.*\.npy"):
        open_embeddings(tmp_path / "x.pkl")
    with pytest.raises(errors.MissingInputError, match="does not exist"):
        open_embeddings(tmp_path / "absent.npy")


def test_shared_vectors(shared_data):
    folder = shared_data / "scifact" / "minilm"
    source = open_embeddings(folder / "docs.npy", folder / "docs.ids.txt")
    assert (source.n, source.dim, source.dtype) == (5183, 384, np.float16)
    assert source.ids[0] == "4983"
    assert np.array_equal(np.concatenate(list(source.blocks(1000))), np.load(folder / "docs.npy"))
