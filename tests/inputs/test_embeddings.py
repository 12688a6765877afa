import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_files import same_rows

from cluscomp import errors
from cluscomp.inputs import ArraySource, open_embeddings, rowfile

X = np.arange(40, dtype=np.float32).reshape(10, 4) / 3 - 5


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
