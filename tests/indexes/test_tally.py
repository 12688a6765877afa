"""Figures that are kept of rows: costs and errors of a sample, which blocks and builds do not change."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.indexes.stages.tally import FEWEST_ROWS, Tally, are_figures, combined
from cluscomp.indexes.stages.training_facts import grouped, list_cv

DIM = 16
KEYS = (
    "IVF8,PQ4",
    "OPQ4,BIVF8,PQ4x4",
    "IVF8,SQ8",
    "PQ4x6",
    "IVF8,Flat",
    "SQ4",
    "PCA8,IVF8,PQ4,Refine(SQ8)",
    "RR,IVF8,RaBitQ4",
)


def plain_figures(index, rows):
    """Cost and error of each row by plain NumPy in float64, from what the index stores of them."""
    pipeline, segment = index.pipeline, index.segments[-1]
    x = pipeline.project(pipeline.base_rows(rows)).astype(np.float64)
    vectors, numbers = segment.vectors(pipeline), np.arange(len(rows))
    costs = None
    if pipeline.partition is not None:
        centroids = pipeline.partition.centroids[vectors.lists(numbers)].astype(np.float64)
        costs = ((x - centroids) ** 2).sum(axis=1)
    return costs, (x - vectors.projected(numbers)) ** 2


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", KEYS)
def test_figures_are_those_of_the_rows(rows, key, metric):
    index = cc.index_factory(key, DIM, metric).train(rows).add(rows[:FEWEST_ROWS])
    found = index.segments[0].statistics
    costs, lost = plain_figures(index, rows[:FEWEST_ROWS])
    assert found["rows"] == found["sampled"] == FEWEST_ROWS
    if costs is not None:
        assert found["cost"]["mean"] == pytest.approx(costs.mean(), rel=1e-4)
        assert found["cost"]["p90"] == pytest.approx(np.quantile(costs, 0.9), rel=1e-4)
    if key.endswith("Flat"):
        assert "error" not in found
    else:
        assert found["error"] == pytest.approx(lost.sum(axis=1).mean(), rel=1e-3)
    if "PQ4" in key:
        wanted = lost.reshape(FEWEST_ROWS, 4, -1).sum(axis=2).mean(axis=0)
        np.testing.assert_allclose(found["errors"], wanted, rtol=1e-3)


def test_codes_that_nothing_was_learned_for_have_none(rows):
    for key in ("Flat", "SQfp16", "RR,Flat"):
        assert cc.index_factory(key, DIM).train(rows).add(rows).segments[0].statistics == {}
    assert cc.index_factory("Flat", DIM).train(rows).training == {}


def test_blocks_do_not_matter(rows):
    """The sample is a function of the number of rows: it thins out as they become more, up to MOST_ROWS."""
    pipeline = cc.index_factory("IVF8,PQ4", DIM).train(rows).pipeline
    many = np.tile(rows, (40, 1))
    for n in (1, FEWEST_ROWS, FEWEST_ROWS + 1, 600, 5000, 24_000):
        found = []
        for size in (n, 1000, 257):
            tally = Tally(pipeline)
            for start in range(0, n, size):
                x = many[start : min(start + size, n)]
                labels = pipeline.partition.assign(x)
                tally.take(x, labels, pipeline.codes(x, labels))
            found.append(tally.statistics())
        assert found[0] == found[1] == found[2] and found[0]["rows"] == n
        assert found[0]["sampled"] == pytest.approx(max(min(n, FEWEST_ROWS), n // 64), abs=2)


def test_a_build_keeps_what_an_add_keeps(rows, tmp_path):
    cc.build_index(rows, index_key="OPQ4,IVF8,PQ4", output=tmp_path / "built")
    built = cc.open_index(tmp_path / "built")
    index = cc.index_factory("OPQ4,IVF8,PQ4", DIM).train(rows).add(rows)
    assert built.segments[0].statistics == index.segments[0].statistics
    assert built.training == index.training and are_figures(built.training)
    index.save(tmp_path / "saved")
    opened = cc.open_index(tmp_path / "saved")
    assert opened.training == index.training and opened.segments[0].statistics == built.segments[0].statistics


def test_what_training_keeps(rows):
    index = cc.index_factory("IVF8,PQ4", DIM, "l2").train(rows)
    found, partition = index.training, index.pipeline.partition
    distances = ((rows[:, None].astype(np.float64) - partition.centroids) ** 2).sum(axis=2)
    sizes = np.bincount(distances.argmin(axis=1), minlength=8)
    assert (found["rows"], found["trained_on"], found["sampled"]) == (600, 600, 600)
    assert found["lists"]["groups"] == sizes.tolist() and found["lists"]["rows"] == 600
    assert found["lists"]["cv"] == pytest.approx(np.sqrt(sizes.var() / 75**2 - 1 / 75), abs=1e-5)
    assert found["cost"]["mean"] == pytest.approx(distances.min(axis=1).mean(), rel=1e-4)


def test_documents_count_as_rows_and_vectors_are_sampled(rows):
    x, lengths = rows / np.linalg.norm(rows, axis=1, keepdims=True), np.full(150, 4)
    index = cc.index_factory("Pool(f=1),IVF8,PQ4", DIM).train(x, lengths=lengths)
    index.add(x[:400], lengths=lengths[:100]).add(x[400:], lengths=lengths[100:])
    assert (index.training["rows"], index.training["trained_on"]) == (150, 600)
    assert [part.statistics["rows"] for part in index.segments] == [400, 200]
    index.compact(segments=1)
    assert index.segments[0].statistics["rows"] == 600


def test_groups_of_lists_are_neighbours(rows):
    many = np.random.default_rng(0).standard_normal((2000, DIM)).astype(np.float32)
    partition = cc.index_factory("IVF200,Flat", DIM, "l2").train(many).pipeline.partition
    found = grouped(partition, np.arange(200))
    gaps = ((partition.centroids[:, None] - partition.centroids[None, :64]) ** 2).sum(axis=2)
    assert found.tolist() == np.bincount(gaps.argmin(axis=1), weights=np.arange(200), minlength=64).tolist()
    assert list_cv(np.full(10, 50)) == 0 and list_cv(np.array([0, 100])) == pytest.approx(np.sqrt(1 - 0.02))
    assert list_cv(np.zeros(4)) == 0


def test_segments_together():
    one = {
        "rows": 100,
        "sampled": 10,
        "square": 1.0,
        "cost": {"mean": 2.0, "p50": 1.0},
        "error": 4.0,
        "errors": [1.0, 3.0],
    }
    two = {
        "rows": 300,
        "sampled": 20,
        "square": 3.0,
        "cost": {"mean": 6.0},
        "error": 8.0,
        "errors": [3.0, 5.0],
    }
    assert combined([one, {}]) == one and combined([{}, {}]) == {}
    assert combined([one, two]) == {
        "rows": 400, "sampled": 30, "square": 2.5, "cost": {"mean": 5.0}, "error": 7.0, "errors": [2.5, 4.5],
    }  # fmt: skip
    assert combined([one, two], [0, 300]) == two and combined([one, two], [200, 200])["square"] == 2.0
    assert "errors" not in combined([one, {**two, "errors": [1.0]}])
