"""Ctrl-C ends every long operation at once: each runs in a process of its own, with work for minutes, and gets SIGINT.

No clock is asked. A process that ignored the signal would run into the time limit, which lies far below its work.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

SETUP = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
import numpy as np
import cluscomp as cc
from cluscomp import native
cc.set_num_threads(1)
rng = np.random.default_rng(0)
def rows(n, d, dtype=np.float32):
    x = np.empty((n, d), dtype)
    x[:] = rng.standard_normal((min(n, 1000), d), dtype=np.float32)[np.arange(n) % min(n, 1000)]
    x += rng.standard_normal((1, d), dtype=np.float32).astype(dtype)
    return x
def index(key, d):
    return cc.index_factory(key, d, "ip").train(rows(3000, d))
"""

# One native call each, where nothing but the native loop itself can answer.
ONE_CALL = {
    "assign": "n = native.Assigner(np.repeat(rows(1, 512), 40000, 0)); x = rows(60000, 512)|n.assign(x)",
    "ward": "from cluscomp.clustering.ward import ward_linkage; x = rows(7000, 512) + rng.random((7000, 512), np.float32)"
    "|ward_linkage(x, linkage_input='cosine_square')",
    "sinkhorn": "t = native.Transport(rows(300000, 256), rows(60000, 256), np.zeros(256, 'f'), 'l2'); s = np.zeros(300000)"
    "|t.column_max(0, 300000, 1.0, np.zeros(60000), s, s, s, np.zeros(60000))",
    "maxsim": "x = rows(300000, 256); o = np.array([0, 300000])|native.maxsim(x, o, x, o)",
    "support": "x = rows(200000, 256); s = native.SupportSample(rows(60000, 256))|s.values(x, np.array([0, 200000]))",
    "medoids": "x = rows(20000, 4096, np.float16); out = np.empty((20000, 20000), np.float32)"
    "|native.squared_distances(x, 0, 20000, out)",
    "term_blocks": "n = 300000; t, w = np.tile(np.arange(40, dtype='u2'), n), np.ones(40 * n, 'f'); "
    "f = native.ForwardRows(np.arange(0, 40 * n + 1, 40), t, w, 40)"
    "|f.divide(np.array([0, n]), np.arange(n, dtype='i4'), .1, .4, 0, 2, 15, 0)",
    "postings": "from cluscomp.terms import TermRows; n = 100000; names = [str(i) for i in range(2000)]; "
    "t = TermRows.of(names, np.full(n, 20), rng.integers(0, 2000, 20 * n), rng.random(20 * n) + .1); "
    "i = cc.index_factory('Sparse', 1).add(t)|i.search(t, 1000)",
    "scan": "x, q = rows(400000, 256), rows(20000, 256)"
    "|native.scan(native.Codes.floats(x), native.Lists(np.array([0, len(x)])), q, None, 100, 'ip')",
    "shadow": "b = native.build_prescreen; x = rows(300000, 512)|[b(x, x[0], 'l2') for _ in iter(int, 1)]",
}

OPERATIONS = {
    "kmeans": "x = rows(200000, 256)|cc.KMeans(20000, n_iter=200).fit(x)",
    "kmeans_plus_plus": "x = rows(200000, 64) + rng.random((200000, 64), np.float32)"
    "|cc.KMeans(20000, init='k-means++').fit(x)",
    "spherical": "import scipy.sparse as s; x = s.random(40000, 9000, .01, 'csr', 'f', rng)"
    "|cc.SphericalKMeans(4000, n_iter=500).fit(x)",
    "balanced": "x = rows(200000, 64) + rng.random((200000, 64), np.float32)|cc.BalancedKMeans(2000, n_iter=500).fit(x)",
    "tree": "x = rows(200000, 64)|cc.KMeansTree(64, leaf_size=20, n_iter=90).fit(x)",
    "hierarchical": "x = rows(200000, 64)|cc.HierarchicalKMeans((20000, 1000), n_iter=90).fit(x)",
    "kmedoids": "x = rows(9000, 4096) + rng.random((9000, 4096), np.float32)|cc.KMedoids(3000).fit(x)",
    "sinkhorn_points": "x, c = rows(60000, 64), rows(9000, 64)|cc.sinkhorn_points(x, c, epsilon=.1, tol=0)",
    "plan": "c = rng.random((30000, 2000), np.float32); r = cc.sinkhorn(c, epsilon=.1, n_iter=1)"
    "|[r.plan() for _ in iter(int, 1)]",
    "pool": "x = rows(300000, 64)|cc.pool_tokens(x, [2000] * 150, factor=4, method='kmeans')",
    "fde": "x = rows(500000, 64)|cc.fde_encode(x, [100] * 5000, side='document', k_sim=6, repetitions=200)",
    "pq_train": "x = rows(60000, 512)|cc.ProductQuantizer(512, 64, n_iter=500).train(x)",
    "pq_train_in_threads": "cc.set_num_threads(2); x = rows(60000, 512)|cc.ProductQuantizer(512, 64, n_iter=500).train(x)",
    "opq": "x = rows(9000, 1024)|cc.ProductQuantizer(1024, 64, rotation='opq', n_iter=200).train(x)",
    "lapack": "from cluscomp.quantization.pca import principal_directions; a = rows(6000, 6000)|principal_directions(a)",
    "index_train": "x = rows(300000, 256); i = cc.index_factory('BIVF4096,PQ64', 256, 'ip')|i.train(x)",
    "index_add": "x = rows(40000, 128); i = index('BIVF500,PQ32', 128)|[i.add(x) for _ in iter(int, 1)]",
    "compact": "x = rows(400000, 128); i = index('IVF100,Flat', 128).add(x[:9]).add(x)|[(i.add(x[:9], range(10**6 + 9 * n, 10**6 "
    "+ 9 * n + 9)), i.compact(segments=1)) for n in range(10**6)]",
    "search": "x = rows(300000, 256); i = index('SQ8', 256).add(x)|i.search(rows(90000, 256), 50)",
    "search_pq4": "x = rows(300000, 128); i = index('PQ64x4', 128).add(x)|i.search(rows(300000, 128), 50)",
    "score": "x = rows(300000, 256); i = index('SQ8', 256).add(x)"
    "|[i.score(rows(3000, 256), range(20000)) for _ in iter(int, 1)]",
    "add_text_ids": "x = rows(2000, 8); i = index('SQ8', 8).add(x, [f'd{n}' for n in range(2000)])"
    "|[i.delete('d1') + len(i.add(x[:1], ['d1'])) for _ in iter(int, 1)]",
}


@pytest.mark.parametrize("name", [*ONE_CALL, *OPERATIONS])
def test_ctrl_c_ends_it(name: str) -> None:
    setup, work = (ONE_CALL | OPERATIONS)[name].split("|")
    if "scipy" in setup:
        pytest.importorskip("scipy.sparse")
    program = f"{SETUP}\n{setup}\nprint('ready', flush=True)\n{work}\nprint('finished')"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.communicate()[1]
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    try:
        stdout, stderr = child.communicate(timeout=30)
    finally:
        child.kill()
    assert "finished" not in stdout
    assert stderr.rstrip().endswith("KeyboardInterrupt"), stderr
