"""The acceptance of filters: brute force over the codes at shares from nothing to everything of the rows."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc

N, DIM, K = 100_000, 8, 10
SHARES = (0, 1e-5, 1e-3, 0.1, 1)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, DIM), dtype=np.float32), rng.standard_normal((100, DIM), dtype=np.float32)


@pytest.mark.parametrize("key", ["Flat", "IVF64,SQ8", "IVF64,PQ4x4", "IVF64,PQ4x4,RFlat"])
@pytest.mark.parametrize("segments", [1, 5])
def test_hits_are_those_of_brute_force_at_every_share(vectors, key, segments):
    x, queries = vectors
    index = cc.index_factory(key, DIM, "ip").train(x[:5000])
    ranks = np.random.default_rng(1).permutation(N)
    for part in np.array_split(np.arange(N), segments):
        index.add(x[part], attributes={"rank": ranks[part]})
    gone = np.arange(3, N, 7)
    index.delete(gone)
    live = np.setdiff1d(np.arange(N), gone)
    table = index.score(queries, live)  # by the finest codes
    order = np.argsort(-table, axis=1, kind="stable")
    for share in SHARES:
        most = round(share * N)
        passes = ranks[live] < most
        m = int(passes.sum())
        for nq in (1, 100):
            for again in range(1 if nq > 1 else 3):  # by bits at first, then with these rows side by side
                scores, ids, info = index.search(
                    queries[:nq],
                    K,
                    nprobe=index.spec.nlist if "IVF" in key else None,
                    refine_factor=max(1, m // K + 1) if "RFlat" in key else None,
                    filter=f"rank < {most}",
                    return_info=True,
                )
                assert (info.allowed == m).all() and info.complete.all()
                assert scores.shape == (nq, min(K, m))
                for q in range(nq):
                    want = order[q][passes[order[q]]][: min(K, m)]
                    np.testing.assert_array_equal(ids[q], live[want], err_msg=f"{share} {nq} {again}")
                    np.testing.assert_array_equal(scores[q], table[q, want])
