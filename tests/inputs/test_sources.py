import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.inputs import ArraySource
from cluscomp.inputs.sources import check_ids, rechunk


def check_reads(source, expected):
    """blocks, read and take of any source give the rows of `expected`."""
    n = len(expected)
    assert (source.n, source.dim, source.dtype) == (*expected.shape, expected.dtype)
    for rows in (1, 3, n, n + 5):
        blocks = list(source.blocks(rows))
        assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
        assert all(block.dtype == expected.dtype and block.flags.c_contiguous for block in blocks)
        assert np.array_equal(np.concatenate(blocks), expected, equal_nan=True)
    for start, stop in [(0, n), (1, 1), (1, n), (n - 1, n), (n, n)]:
        assert np.array_equal(source.read(start, stop), expected[start:stop], equal_nan=True)
    for chosen in [[], [0], [n - 1], [0, 0, n - 1], list(range(0, n, 2)), list(range(n))]:
        assert np.array_equal(source.take(np.array(chosen, np.int64)), expected[chosen], equal_nan=True)
    for start, stop in [(-1, 1), (0, n + 1), (2, 1)]:
        with pytest.raises(errors.UsageError, match=f"rows 0 to {n}"):
            source.read(start, stop)
    for chosen in [[1, 0], [-1], [n]]:
        with pytest.raises(errors.UsageError, match="must ascend"):
            source.take(np.array(chosen))
    with pytest.raises(errors.UsageError, match="at least 1"):
        list(source.blocks(0))


X = np.arange(24, dtype=np.float32).reshape(8, 3) / 7


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int64, np.uint8, ">f4"])
def test_arrays_of_any_number_type(dtype):
    x = (X * 10).astype(dtype)
    check_reads(ArraySource(x), x if x.dtype == np.float16 else x.astype(np.float32))


def test_nested_lists_strides_and_nan():
    check_reads(ArraySource(X.tolist()), X)
    check_reads(ArraySource(np.asfortranarray(X)), X)
    x = np.repeat(X, 2, axis=0)
    x[3, 1] = np.nan
    check_reads(ArraySource(x[::2]), x[::2])


def test_torch_including_bfloat16():
    torch = pytest.importorskip("torch")
    check_reads(ArraySource(torch.from_numpy(X)), X)
    rounded = torch.from_numpy(X).to(torch.bfloat16)
    check_reads(ArraySource(rounded), rounded.to(torch.float32).numpy())


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_and_their_slices(tmp_path, mode):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    check_reads(ArraySource(mapped), X)
    check_reads(ArraySource(mapped[2:]), X[2:])


def test_changes_of_a_private_mapping_are_kept(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[0] = 5
    source = ArraySource(mapped)
    source.read(1, 3)
    assert np.array_equal(source.read(0, 1), [[5, 5, 5]])


def test_blocks_of_a_map_are_copies(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    block = ArraySource(mapped).read(0, 2)
    block[:] = 0
    assert np.array_equal(mapped[:2], X[:2])


@pytest.mark.parametrize(
    ("x", "fault"),
    [
        (np.zeros(3), errors.DimensionError),
        (np.zeros((2, 3, 4)), errors.DimensionError),
        (np.zeros((2, 0)), errors.DimensionError),
        (np.zeros((0, 3)), errors.EmptyInputError),
        (np.zeros((2, 3), complex), errors.DTypeError),
        (np.array([["a"]], dtype=object), errors.DTypeError),
    ],
)
def test_arrays_that_cannot_be_used(x, fault):
    with pytest.raises(fault):
        ArraySource(x)


def test_ids():
    assert np.array_equal(ArraySource(X[:2], ids=[5, 3]).ids, [5, 3])
    assert ArraySource(X[:2], ids=np.array([5, 3], np.int32)).ids.dtype == np.int64
    assert ArraySource(X[:2], ids=np.array(["a", "b"])).ids == ["a", "b"]
    assert ArraySource(X[:2]).ids is None


@pytest.mark.parametrize(
    ("ids", "fault", "message"),
    [
        ([1, 2], errors.DimensionError, "2 ids for 3 vectors"),
        ([1, 2, 1], errors.DuplicateIdError, "id 1 stands at positions 0 and 2"),
        (["a", "b", "b"], errors.DuplicateIdError, "id 'b' stands at positions 1 and 2"),
        (["a", 1, "b"], errors.DTypeError, "position 1 is a int"),
        ([1.5, 2.0, 3.0], errors.DTypeError, "position 0 is a float"),
        ([None, "a", "b"], errors.DTypeError, "position 0 is a NoneType"),
        (np.array([1, 2, 2**63], np.uint64), errors.DTypeError, "9223372036854775808 exceeds"),
    ],
)
def test_ids_that_cannot_be_used(ids, fault, message):
    with pytest.raises(fault, match=message):
        check_ids(ids, 3, "ids")


@given(st.lists(st.integers(0, 7)), st.integers(1, 9))
def test_rechunk_keeps_rows_and_heights(heights, rows):
    x = np.arange(sum(heights))[:, None]
    parts = np.split(x, np.cumsum(heights)[:-1]) if heights else []
    out = list(rechunk(parts, rows))
    assert all(len(block) == rows for block in out[:-1])
    assert np.array_equal(np.concatenate(out) if out else x, x)
