"""Files of vectors, and what every open source of rows has to do."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import errors


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
