"""Search: arguments that are wrong, in range or by default, and what training refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cluscomp.errors import (
    DimensionError,
    DTypeError,
    IncompleteResultsWarning,
    NonFiniteError,
    NotTrainedError,
    TooFewRowsError,
    UnknownKeyError,
    UsageError,
)
from cluscomp.indexes import Index, index_factory
from cluscomp.indexes.stages.ivf import default_nprobe


def test_wrong_dim_names_both_and_the_remedy(make_index, queries) -> None:
    index = make_index("Flat", "ip")
    with pytest.raises(
        DimensionError, match="index has dim 16, queries have dim 8; use vectors of the model"
    ):
        index.search(queries[:, :8], 1)
    with pytest.raises(DimensionError, match="index has dim 16, rows have dim 8"):
        index.add(np.zeros((2, 8), np.float32))
    with pytest.raises(DimensionError, match="index has dim 16, rows have dim 8"):
        index_factory("IVF2,Flat", 16).train(np.zeros((9, 8), np.float32))


def test_nan_queries_are_refused(make_index, queries) -> None:
    bad = queries.copy()
    bad[4, 2] = np.nan
    with pytest.raises(NonFiniteError, match="queries: row 4"):
        make_index("IVF8,Flat", "ip").search(bad, 1)


def test_text_queries_are_refused(make_index) -> None:
    with pytest.raises((DTypeError, DimensionError)):
        make_index("Flat", "ip").search(["what is a vector"], 1)


@pytest.mark.parametrize("k", [0, -3, 2.5, "3", True, None])
def test_k_must_be_a_positive_integer(make_index, queries, k) -> None:
    with pytest.raises(UsageError, match="k must be an integer"):
        make_index("Flat", "ip").search(queries, k)


def test_k_beyond_the_rows_names_both(make_index, queries) -> None:
    index = make_index("Flat", "ip")
    with pytest.raises(UsageError, match="k=601 .* holds 600 rows"):
        index.search(queries, 601)
    index.delete([3, 4])
    with pytest.raises(UsageError, match="k=599 .* holds 598 rows"):
        index.search(queries, 599)
    assert index.search(queries, 598)[1].shape == (9, 598)
    with pytest.raises(UsageError, match="holds 0 rows"):
        index_factory("Flat", 16).search(queries, 1)


@pytest.mark.parametrize("nprobe", [0, -1, 9, 1.5])
def test_nprobe_out_of_range(make_index, queries, nprobe) -> None:
    with pytest.raises(UsageError, match="nprobe"):
        make_index("IVF8,Flat", "ip").search(queries, 1, nprobe=nprobe)


def test_nprobe_and_refine_factor_have_no_effect_on_keys_without(make_index, queries) -> None:
    index = make_index("PQ4", "ip")
    wanted = index.search(queries, 4)
    got = index.search(queries, 4, nprobe=32, refine_factor=4)
    np.testing.assert_array_equal(got[1], wanted[1])
    with pytest.raises(UsageError, match="refine_factor"):
        index.search(queries, 4, refine_factor=0)


def test_too_few_rows_in_the_probed_lists_are_never_silent(make_index, queries) -> None:
    index = make_index("IVF8,Flat", "ip")
    with pytest.warns(
        IncompleteResultsWarning, match=r"of 9 queries found fewer than k=500 .*nprobe=1 of 8 lists"
    ):
        scores, ids = index.search(queries, 500, nprobe=1)
    missing = ids == -1
    assert missing.any()
    assert np.isneginf(scores[missing]).all()
    assert np.isfinite(scores[~missing]).all()
    assert (np.diff(missing.astype(int), axis=1) >= 0).all()
    text = make_index("IVF8,Flat", "ip", [f"doc{i}" for i in range(600)])
    with pytest.warns(IncompleteResultsWarning, match="id None"):
        _, names = text.search(queries, 500, nprobe=1)
    assert all(name is None for name in names[missing])
    assert all(name == f"doc{i}" for name, i in zip(names[~missing], ids[~missing], strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.search(queries, 500, nprobe=8)


def test_default_nprobe_and_refine_factor() -> None:
    assert [default_nprobe(n) for n in (1, 2, 8, 64, 1024, 65536)] == [1, 2, 8, 32, 128, 1024]
    index = index_factory("IVF64,PQ4,RFlat", 16)
    assert (index.nprobe, index.refine_factor) == (32, 4)
    index.nprobe, index.refine_factor = 3, 7
    assert (index.nprobe, index.refine_factor) == (3, 7)
    with pytest.raises(UsageError, match="nprobe=65, but 'IVF64,PQ4,RFlat' has 64 lists"):
        index.nprobe = 65


def test_unknown_metric_dim_and_seed() -> None:
    with pytest.raises(UnknownKeyError, match="known are: ip, l2, cosine"):
        index_factory("Flat", 4, "dot")
    for dim in (0, -1, 2.0, True, None):
        with pytest.raises(UsageError, match="dim must be"):
            index_factory("Flat", dim)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="seed must be"):
        index_factory("Flat", 4, seed=-1)


def test_untrained_index_refuses_rows(rows) -> None:
    index = index_factory("IVF8,PQ4", 16)
    assert not index.is_trained
    with pytest.raises(NotTrainedError, match="call index.train"):
        index.add(rows)
    assert index_factory("SQfp16", 16).is_trained
    assert not index_factory("SQfp16,Refine(SQ8)", 16).is_trained


def test_too_few_training_rows(rows) -> None:
    with pytest.raises(TooFewRowsError, match=r"IVF64 needs at least 64 training rows, but got 63.*IVF7"):
        index_factory("IVF64,Flat", 16).train(rows[:63])
    with pytest.raises(TooFewRowsError, match="256"):
        index_factory("PQ4", 16).train(rows[:255])


def test_training_again_after_adding_is_refused(make_index, rows) -> None:
    with pytest.raises(UsageError, match="holds 600 rows"):
        make_index("SQ8", "ip").train(rows)


def test_values_beyond_float16_are_refused(rows) -> None:
    big = rows.copy()
    big[5, 5] = 1e6
    index: Index = index_factory("SQfp16", 16).add(rows[:10])
    with pytest.raises(ValueError, match="1e\\+06 does not fit float16"):
        index.add(big)
    assert len(index) == 10
