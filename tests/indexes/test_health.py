"""health: rows like those of the training are ok, others are not, and what is not known is said to be so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.indexes.health.drift import stability_index
from cluscomp.indexes.health.report import THRESHOLDS, judged
from cluscomp.inputs.sources import ArraySource

DIM = 16
FOLDERS = Path(__file__).with_name("format2")


def states(health):
    return {item.name: item.state for item in health.items}


def values(health):
    return {item.name: item.value for item in health.items}


def rotated(rows, seed):
    """The rows as another encoder might have made them: equal distances, other directions."""
    dim = rows.shape[1]
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    return (rows @ turn).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("key", "some"), [("IVF32,PQ24x4", 0.2), ("BIVF32,PQ24x4", 0.2), ("PQ24x4", 0.4)])
def test_drift_of_a_real_collection(shared_data, key, some, seed):
    """Half of SciFact is trained on and added; then the other half, of which a share is rotated."""
    x = np.load(shared_data / "scifact" / "minilm" / "docs.npy")[:, :96].astype(np.float32)
    x = x[np.random.default_rng(seed).permutation(len(x))]
    index = cc.index_factory(key, 96, "l2", seed=seed).train(x[:2600]).add(x[:2600])
    assert index.health().state == "ok"
    found = {}
    for share in (0.0, some, 1.0):
        new, n = x[2600:], int(share * (len(x) - 2600))
        index.upsert(np.concatenate([rotated(new[:n], seed), new[n:]]), np.arange(2600, len(x)))
        index.compact(segments=2, dead=0)  # two segments: the first half, and what was added after it
        found[share] = index.health()
    assert [health.state for health in found.values()] == ["ok", "watch", "retrain"]


def test_items_and_their_thresholds(rows):
    index = cc.index_factory("IVF8,PQ4", DIM).train(rows[:300]).add(rows).add(rows, np.arange(600, 1200))
    health = index.health()
    assert [item.name for item in health.items] == [
        "cost", "occupancy", "code error", "growth", "list sizes", "deleted", "segments",
    ]  # fmt: skip
    assert (health.key, health.rows, health.training_rows) == ("IVF8,PQ4", 1200, 300)
    assert values(health)["growth"] == 4 and states(health)["growth"] == "ok"
    index.add(rows, np.arange(1200, 1800))
    assert states(index.health())["growth"] == "watch" and values(index.health())["segments"] == 3
    index.delete(np.arange(720))
    found = index.health()
    assert values(found)["deleted"] == 0.4 and states(found)["deleted"] == "watch"
    assert "compact drops them" in {item.name: item.sentence for item in found.items}["deleted"]
    assert found.to_json()["items"][0]["name"] == "cost" and found.to_json()["segments"][0]["stored"] == 600
    for item in found.items:
        assert (item.watch, item.retrain) == THRESHOLDS[item.name] and item.sentence
    assert found.reaches("watch") and found.reaches(found.state)


def test_states_by_thresholds():
    for value, state in ((1.1, "ok"), (1.11, "watch"), (1.25, "watch"), (1.26, "retrain")):
        item = judged("cost", value, "it is so", "do something")
        assert item.state == state and item.sentence == (
            "it is so" if state == "ok" else "it is so; do something"
        )
    assert judged("cost", 9.0, "it is so", "do something", most="watch").state == "watch"


def test_stability_index_by_hand():
    before, now = (
        np.array([99.5, 299.5]),
        np.array([199.5, 199.5]),
    )  # with half a row each: 1/4, 3/4 and 1/2, 1/2
    wanted = 0.25 * np.log(2) - 0.25 * np.log(2 / 3) - (1 / 399 + 1 / 399)
    assert stability_index(before, now) == pytest.approx(wanted)
    assert stability_index(now, now) == 0


def test_a_few_strange_rows_are_to_be_watched_only(rows):
    many = np.tile(rows, (20, 1)) + np.random.default_rng(0).normal(0, 0.3, (12_000, DIM)).astype(np.float32)
    index = cc.index_factory("IVF8,PQ4", DIM, "l2").train(many).add(many)
    index.add(-20 * rows[:100])
    found = index.health()
    assert values(found)["cost"] > 2 and states(found)["cost"] == "watch"
    assert "rows added after the first (0.8% of all)" in found.items[0].sentence
    index.add(-20 * rows)
    assert states(index.health())["cost"] == "retrain"


@pytest.mark.parametrize(
    "name", ["balanced-lists", "documents", "flat-with-prescreen", "lists-of-4-bit-codes"]
)
def test_older_folders_say_what_is_not_recorded(name):
    index = cc.open_index(FOLDERS / name)
    found = index.health()
    learned = {"cost", "occupancy", "code error", "growth", "list sizes"} & states(found).keys()
    assert {state for item, state in states(found).items() if item in learned} <= {"not recorded"}
    assert states(found)["deleted"] != "not recorded" and found.training_rows is None
    assert all("not recorded" in item.sentence for item in found.items if item.value is None)


def test_figures_of_segments_without_any_come_from_finer_codes(rows):
    index = cc.index_factory("IVF8,PQ4,RFlat", DIM).train(rows).add(rows[:300]).add(rows[300:])
    recorded = index.health()
    index._segments = tuple(part.changed(statistics={}) for part in index.segments)
    measured = index.health()
    for one, two in zip(recorded.items, measured.items, strict=True):
        assert two.value == pytest.approx(one.value, rel=0.15) and two.state == one.state
    plain = cc.index_factory("IVF8,PQ4", DIM).train(rows).add(rows)
    plain._segments = tuple(part.changed(statistics={}) for part in plain.segments)
    found = plain.health()
    assert states(found)["cost"] == "not recorded" and "no finer codes" in found.items[0].sentence
    assert states(found)["occupancy"] == "ok"  # the lists themselves tell it


def test_learned_codecs_are_compared_with_the_rows_added_first(rows, with_folders):
    index = cc.index_factory(with_folders("RepCONC(learned)", "ip"), DIM).add(rows[:300])
    assert states(index.health())["code error"] == "not recorded"
    index.add(rows[300:])
    found = index.health()
    assert states(found)["code error"] == "ok" and "added first" in found.items[0].sentence
    index.add(rotated(rows, 1))
    assert states(index.health())["code error"] == "retrain"
    lists = cc.index_factory(with_folders("IVF8,RepCONC(learned)", "ip"), DIM).train(rows).add(rows)
    assert {"cost", "code error"} <= states(lists.health()).keys() and lists.health().state == "ok"


def test_documents(rows):
    x, lengths = rows / np.linalg.norm(rows, axis=1, keepdims=True), np.full(150, 4)
    index = cc.index_factory("Pool(f=1),IVF8,PQ4x4", DIM).train(x, lengths=lengths).add(x, lengths=lengths)
    found = index.health(probe=True, new=x, lengths=lengths)
    assert found.state == "ok" and found.training_rows == 150 and "gain" in states(found)
    turned = rotated(x, 1)
    index.add(turned, lengths=lengths)
    found = index.health(new=turned, lengths=lengths)
    assert states(found)["cost"] == "retrain" and states(found)["gain"] == "retrain"
    index.candidates = 10
    assert index.health(probe=True).items[-1].name == "probe"


def test_probe_is_the_recall_of_a_search(rows):
    index = cc.index_factory("IVF8,SQ8", DIM).train(rows).add(rows)
    index.nprobe = 1
    ids = np.unique(np.linspace(0, 599, 256).astype(np.int64))
    few, every = (index.search(index.vectors(ids), 10, nprobe=n)[1] for n in (1, 8))
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(few, every, strict=True)])
    found = index.health(probe=True)
    assert values(found)["probe"] == pytest.approx(1 - recall) and 0 < recall < 1
    index.nprobe = 8
    assert "probe" not in states(index.health(probe=True))
    assert "probe" not in states(cc.index_factory("SQ8", DIM).train(rows).add(rows).health(probe=True))
    dropped = cc.index_factory("MRL12,IVF8,SQ8", DIM).train(rows).add(rows)
    dropped.nprobe = 1
    assert states(dropped.health(probe=True))["probe"] == "not recorded"


@pytest.mark.parametrize("key", ["IVF8,SQ8", "BIVF8,Flat", "PQ4x4"])
def test_what_training_again_would_gain(rows, key):
    index = cc.index_factory(key, DIM, "l2").train(rows).add(rows)
    rng = np.random.default_rng(3)
    like = np.tile(rows, (4, 1)) + rng.normal(0, 0.05, (2400, DIM)).astype(np.float32)
    assert states(index.health(new=like))["gain"] == "ok"
    found = index.health(new=ArraySource(rotated(like, 2)))
    assert states(found)["gain"] == "retrain" and found.state == "retrain"
    few = index.health(new=rows[:50])
    assert states(few)["gain"] == "not recorded" and "too few" in few.items[-1].sentence
    assert "gain" not in states(index.health())


def test_nothing_to_learn_and_nothing_there(rows, tmp_path):
    index = cc.index_factory("Flat", DIM).add(rows)
    found = index.health(probe=True, new=rows)
    assert (
        states(found) == {"deleted": "ok", "segments": "ok", "gain": "not recorded"} and found.state == "ok"
    )
    empty = cc.index_factory("IVF8,PQ4", DIM).train(rows)
    assert states(empty.health())["cost"] == "not recorded"
    with pytest.raises(cc.NotTrainedError):
        cc.index_factory("IVF8,PQ4", DIM).health()
    with pytest.raises(cc.UsageError, match="lengths belong to documents"):
        index.health(new=rows, lengths=[600])
    with pytest.raises(cc.DimensionError):
        index.health(new=rows[:, :8])


def test_it_changes_nothing_and_survives_a_save(rows, tmp_path):
    index = cc.index_factory("IVF8,PQ4", DIM).train(rows).add(rows[:400]).add(rotated(rows, 5))
    before = index.health(probe=True)
    index.save(tmp_path / "a")
    opened = cc.open_index(tmp_path / "a")
    assert opened.health(probe=True) == before and not opened.has_changes


@pytest.mark.parametrize("key", ["Sparse", "Sparse(bm25)"])
def test_terms_have_a_shape_only(key):
    words = [{"a": 1, "b": 2}, {"b": 1, "c": 5}, {"a": 3}]
    index = cc.index_factory(key, 1).train(words).add(words)
    assert states(index.health(probe=True)) == {"deleted": "ok", "segments": "ok"}
    with pytest.raises(cc.UsageError, match="are terms, and no vectors"):
        index.health(new=words)
