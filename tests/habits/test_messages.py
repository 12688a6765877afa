"""Messages that help: suggestions that work, names that others use, faults told before they surprise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import ConvergenceWarning, TooFewRowsError, UnknownKeyError, UsageError
from cluscomp.indexes.keys.grammar import parse_key

WRONG_KEYS = [
    "Flt", "flat", "SQ8x", "SQ", "SQ16", "PQ48x", "PQ48x8,Refine", "IVF", "IVF1024", "IVF1024,", "IVF 1024,Flat",
    "ivf1024,flat", "IVF1024,PQ48,", "HNSW32", "HNSW32,Flat", "IVF1024_HNSW32,PQ48", "OPQ48", "OPQ48,IVF1024", "PCA",
    "PCAR64,PQ32", "IVF1024,PQ48+16", "LSH", "IDMap,Flat", "IMI2x8,PQ8", "Pool16", "Pool,Flat", "Pool16,IVF1024",
    "L2Norm,Flat", "RFlat", "SQ8,Refine(SQ8", "Refine(SQ8)", "BIVF", "BIVF1024(cap=2", "RR64", "MRL", "RepCONC",
    "BinaryFlat", "SQbf16", "PQ48,IVF1024", "IVF1024,OPQ48,PQ48", "Flat,Flat", "IVF0,Flat", "PQ0", "RQ4x8", "ITQ64,LSH",
    "IVF1024,SQ4,RFlat,RFlat", "Pool16,Pool16,Flat", "IVF-3,Flat", "SQ8,PCA64", "Flat,IVF64,OPQ8", ",", "IVFFlat",
]  # fmt: skip


@pytest.mark.parametrize("key", WRONG_KEYS)
def test_a_key_that_is_suggested_can_be_read(key):
    with pytest.raises(UnknownKeyError) as caught:
        parse_key(key)
    suggested = re.search(r"did you mean '([^']+)'\?", str(caught.value))
    assert suggested is not None or key == ","
    if suggested:
        parse_key(suggested[1])


@pytest.mark.parametrize(
    ("name", "ours"),
    [("dot", "ip"), ("dot_product", "ip"), ("inner_product", "ip"), ("L2", "l2"), ("IP", "ip"),
     ("cos", "cosine"), ("Cosine", "cosine"), ("sqeuclidean", "l2"), ("angular", "cosine")],
)  # fmt: skip
@pytest.mark.parametrize(
    "call",
    [lambda name: cc.index_factory("Flat", 4, name), lambda name: cc.KMeans(2, metric=name).fit(np.eye(4)),
     lambda name: cc.assign(np.eye(4), np.eye(4), metric=name)],
)  # fmt: skip
def test_metrics_of_other_libraries_get_our_name(call, name, ours):
    with pytest.raises(UsageError, match=f"did you mean '{ours}'"):
        call(name)


@pytest.mark.parametrize("key", ["IVF4,Flat", "BIVF4,SQ8", "IVF4,PQ2,RFlat"])
@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_lists_over_zero_rows_say_what_is_missing(key, metric):
    rows = np.zeros((300, 4), "f4")
    rows[:3, 0] = 1
    with pytest.raises(
        TooFewRowsError, match=r"4.* needs at least 4 training rows that are not zero, but 297 of 300 are"
    ):
        cc.index_factory(key, 4, metric).train(rows)
    assert np.isfinite(cc.index_factory(key, 4, "l2").train(rows).add(rows).search(rows, 3)[0]).all()


def test_fewer_lists_are_suggested_as_a_whole_key():
    with pytest.raises(TooFewRowsError, match=r"such as (IVF\d+,Flat)") as caught:
        cc.index_factory("IVF64,PQ2", 4).train(np.random.default_rng(0).normal(size=(40, 4)))
    parse_key(re.search(r"such as (IVF\d+,Flat)", str(caught.value))[1])


@pytest.mark.parametrize(
    "estimator",
    [
        cc.KMeans(5),
        cc.BalancedKMeans(5, balance="none"),
        cc.SphericalKMeans(5),
        cc.KMeans(5, metric="cosine"),
    ],
    ids=repr,
)
def test_clusters_without_rows_are_told(estimator, rng):
    three = np.repeat(np.eye(3), 20, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"3 clusters were found, n_clusters is 5") as seen:
        estimator.fit(three)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.fit(rng.normal(size=(60, 3)))


@pytest.mark.parametrize(
    ("variable", "value", "fine"),
    [("CLUSCOMP_NUM_THREADS", value, value in ("1", "3", "")) for value in ("abc", "0", "-4", "2.5", "1", "3", "", "9" * 30)]
    + [("CLUSCOMP_SIMD", "scalar", True), ("CLUSCOMP_SIMD", "sse9", False)],
)  # fmt: skip
def test_variables_that_mean_nothing_are_refused(variable, value, fine):
    program = "import cluscomp.native as native; print(native.get_num_threads())"
    environment = dict(os.environ, **{variable: value})
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode == 0) is fine
    assert fine or (f"UsageError: {variable} is {value!r}" in done.stderr)
    if variable == "CLUSCOMP_NUM_THREADS" and fine and value:
        assert done.stdout == f"{value}\n"


def test_the_flag_and_the_variable_of_threads_are_one(tmp_path):
    environment = dict(os.environ, CLUSCOMP_NUM_THREADS="abc")
    command = [sys.executable, "-m", "cluscomp", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and "'--threads' (env var: 'CLUSCOMP_NUM_THREADS')" in done.stderr
    environment["CLUSCOMP_NUM_THREADS"] = "3"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert '"threads": 3' in done.stdout
