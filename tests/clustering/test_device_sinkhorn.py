"""sinkhorn on torch CUDA tensors: float64 log sums of the kernels, and the CPU's results up to its float32 powers."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.clustering.transport.device import DeviceCosts
from cluscomp.errors import DTypeError, InputError, NonFiniteError

torch = pytest.importorskip("torch")


def costs(rng, n=120, k=17):
    x, c = rng.normal(size=(n, 8)), rng.normal(size=(k, 8))
    return ((x[:, None] - c) ** 2).sum(axis=2).astype("f4")


def log2_sum(exponents, axis):
    most = exponents.max(axis=axis, keepdims=True)
    return np.squeeze(most, axis) + np.log2(np.exp2(exponents - most).sum(axis=axis))


@pytest.mark.parametrize(("n", "k", "scale"), [(1, 1, 1.0), (50, 7, 10.0), (1030, 300, 500.0)])
def test_log_sums(put, rng, n, k, scale):
    cost = rng.normal(size=(n, k)).astype("f4")
    rows, columns = 30 * rng.normal(size=n), 30 * rng.normal(size=k)
    if n > 1:
        rows[3] = columns[4] = -np.inf
    there = DeviceCosts(put(cost))
    by_row, by_column = there.row_logs(put(columns), scale), there.column_logs(put(rows), scale)
    wide = scale * cost.astype("f8")
    np.testing.assert_allclose(by_row.cpu(), log2_sum(columns - wide, 1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_column.cpu(), log2_sum(rows[:, None] - wide, 0), rtol=1e-12, atol=1e-12)


def test_four_documents_by_hand(put):
    """Oracle of RepCONC: documents 0, 0.1, 0.2, 1 and centroids 0, 1; 30 steps at epsilon 0.1."""
    cost = (np.array([[0], [0.1], [0.2], [1.0]]) - np.array([[0, 1.0]])).astype("f4") ** 2
    result = cc.sinkhorn(put(cost), epsilon=0.1, n_iter=30, tol=0)
    np.testing.assert_allclose(4 * result.plan()[:, 0].cpu(), [0.9573, 0.7519, 0.2909, 0.0], atol=6e-5)
    assert result.labels.tolist() == [0, 0, 1, 1] and result.counts.tolist() == [2, 2]


FORMS = [
    {"epsilon": 0.3},
    {"epsilon": 0.01, "cost_scale": "range", "n_iter": 300},
    {"epsilon": 0.3, "transported": 0.6, "col_gamma": 1.0},
    {"epsilon": 0.5, "row_gamma": 2.0, "col_gamma": 0.7},
    {"epsilon": 1e-3, "n_iter": 40, "tol": 0.0},
]


@pytest.mark.parametrize("settings", FORMS)
@pytest.mark.parametrize("masses", [False, True])
def test_equals_the_cpu(put, rng, settings, masses):
    cost = costs(rng)
    given = {}
    if masses:
        a, b = rng.dirichlet(np.ones(120)), rng.dirichlet(np.ones(17))
        a[4] = b[3] = 0
        given = {"row_mass": a / a.sum(), "col_mass": b / b.sum()}
    here = cc.sinkhorn(cost, **settings, **given)
    there = cc.sinkhorn(put(cost), **settings, **given)
    assert (there.n_iter, there.converged) == (here.n_iter, here.converged)
    assert there.residual == pytest.approx(here.residual, abs=1e-6)
    np.testing.assert_allclose(120 * there.plan().cpu().numpy(), 120 * here.plan(), atol=1e-6)
    np.testing.assert_allclose(there.unassigned().cpu(), here.unassigned(), atol=1e-7)
    for name in ("row_potential", "col_potential"):
        ours, cpus = getattr(there, name), getattr(here, name)
        assert isinstance(ours, torch.Tensor) and ours.dtype == torch.float64
        np.testing.assert_allclose(ours.cpu() / settings["epsilon"], cpus / settings["epsilon"], atol=5e-6)
    if here.virtual_potential is not None:
        assert there.virtual_potential == pytest.approx(here.virtual_potential, abs=1e-6)
    np.testing.assert_array_equal(there.labels.cpu(), here.labels)
    np.testing.assert_array_equal(there.counts.cpu(), here.counts)


def test_half_precision_costs_starts_and_progress(put, rng):
    cost = costs(rng).astype("f2")
    seen: list[tuple[int, int]] = []
    first = cc.sinkhorn(put(cost), epsilon=0.3, progress=lambda _, done, total: seen.append((done, total)))
    assert first.converged and seen[-1] == (1000, 1000)
    for start in (first, first.col_potential):
        assert cc.sinkhorn(put(cost), epsilon=0.3, start=start).n_iter == 1
    given = put(np.full(120, 1 / 120))
    same = cc.sinkhorn(put(cost), epsilon=0.3, row_mass=given)
    np.testing.assert_allclose(same.plan().cpu(), first.plan().cpu(), atol=1e-12)

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cc.sinkhorn(put(cost), epsilon=0.3, progress=interrupt)


def test_rows_spread_over_processes(put, rng):
    """Two shards in lock step: column potentials are those of the whole."""
    cost = costs(rng)
    barrier, values = threading.Barrier(2, timeout=30), [None, None]

    def reduce_in(shard):
        def reduce(mine, op):
            values[shard] = mine
            barrier.wait()
            total = np.maximum(*values) if op == "max" else values[0] + values[1]
            barrier.wait()
            return total

        return reduce

    found = [None, None]

    def run(shard, rows):
        found[shard] = cc.sinkhorn(put(rows), epsilon=0.3, n_iter=50, tol=0, all_reduce=reduce_in(shard))

    threads = [threading.Thread(target=run, args=(i, rows)) for i, rows in enumerate((cost[:50], cost[50:]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = cc.sinkhorn(put(cost), epsilon=0.3, n_iter=50, tol=0)
    for part in found:
        np.testing.assert_allclose(part.col_potential.cpu(), whole.col_potential.cpu(), atol=1e-12)
        assert part.counts.tolist() == whole.counts.tolist()


def test_bad_input(put, rng):
    cost = costs(rng)
    with pytest.raises(DTypeError, match=r"cost.*float64.*cost\.float\(\)"):
        cc.sinkhorn(put(cost.astype("f8")), epsilon=0.1)
    with pytest.raises(InputError, match="row_mass sums to 2"):
        cc.sinkhorn(put(cost), epsilon=0.1, row_mass=np.full(120, 1 / 60))
    cost[7, 2] = np.inf
    with pytest.raises(NonFiniteError, match="cost: row 7"):
        cc.sinkhorn(put(cost), epsilon=0.1)
