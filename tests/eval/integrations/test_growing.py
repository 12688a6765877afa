"""The store behind the adapters: it is a dict with a search, converts itself, and loses nothing meanwhile."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cluscomp as cc
from cluscomp.errors import (
    ConversionWarning,
    DimensionError,
    DTypeError,
    InputError,
    NonFiniteError,
    OutputExistsError,
    TooFewRowsError,
    UnknownKeyError,
    UsageError,
)
from cluscomp.eval.integrations import conversion, growing, kept
from cluscomp.eval.integrations.growing import GrowingStore

DIM = 8


def put(store, rng, numbers, tag="first", truth=None):
    """Add documents of these numbers, and note them."""
    ids = [f"d{number}" for number in numbers]
    vectors = rng.standard_normal((len(ids), DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"text {name} {tag}" for name in ids]
    metadatas = [{"number": number, "tag": tag, "deep": {"n": [number]}} for number in numbers]
    store.upsert(ids, vectors, texts, metadatas)
    if truth is not None:
        truth.update(zip(ids, zip(vectors, texts, metadatas, strict=True), strict=True))


def check(store, truth, atol=1e-6):
    """The store holds these documents and no others, and each finds itself."""
    assert len(store) == len(truth) and set(store.passing()) == set(truth)
    for row in store.get(list(truth), vectors=True):
        vector, text, metadata = truth[row.id]
        assert (row.text, row.metadata) == (text, metadata)
        np.testing.assert_allclose(row.vector, vector, atol=atol)
    for name in list(truth)[:5]:
        assert store.search(truth[name][0], 1)[0].id == name


@pytest.fixture(params=["memory", "folder"])
def folder(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "deep" / "store"


@pytest.fixture
def few_segments(monkeypatch):
    monkeypatch.setattr(kept, "MAX_SEGMENTS", 18)
    return kept.MAX_SEGMENTS


# ---- a dict with a search ----


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "delete", "clear", "where"]), st.lists(st.integers(0, 12), max_size=5)), max_size=9))  # fmt: skip
def test_random_lives_equal_a_dict(tmp_path_factory, steps):
    rng, truth = np.random.default_rng(0), {}
    path = tmp_path_factory.mktemp("life") / "store"
    store = GrowingStore(path)
    for turn, (step, numbers) in enumerate(steps):
        if step == "put" and numbers:
            put(store, rng, numbers, f"turn {turn}", truth)
        elif step == "delete":
            gone = {f"d{number}" for number in numbers}
            assert store.delete([f"d{number}" for number in numbers]) == len(gone & truth.keys())
            truth = {name: value for name, value in truth.items() if name not in gone}
        elif step == "clear":
            store.clear()
            truth = {}
        elif step == "where" and truth:
            gone = {name for name, value in truth.items() if value[2]["number"] > 6}
            assert store.delete_where("number > 6") == len(gone)
            truth = {name: value for name, value in truth.items() if name not in gone}
    check(store, truth)
    check(GrowingStore(path), truth)


def test_of_an_id_twice_the_later_counts(folder, rng):
    store, truth = GrowingStore(folder), {}
    put(store, rng, [1, 2, 1], truth=truth)
    check(store, truth)


def test_reading_an_empty_store(folder):
    store = GrowingStore(folder)
    assert store.search(np.ones(3), 4, filter="nosuch > 1") == [] == store.get(["a"]) == store.select("x > 1")
    assert store.delete(["a"]) == store.delete_where("x > 1") == len(store) == 0
    assert store.index is None and store.kinds() == {} and store.values("x") == set()
    assert store.finish_conversion()


def test_filters(folder, rng):
    store = GrowingStore(folder)
    put(store, rng, range(20))
    assert [row.id for row in store.select("number between 3 and 5")] == ["d3", "d4", "d5"]
    found = store.search(rng.standard_normal(DIM), 9, filter={"op": "<", "field": "number", "value": 3})
    assert {row.id for row in found} == {"d0", "d1", "d2"}
    assert [row.score for row in found] == sorted((row.score for row in found), reverse=True)
    assert {row.id for row in store.search(np.ones(DIM), 9, filter=["d4", "nosuch"])} == {"d4"}
    assert store.values("tag") == {"first"} and store.values("nosuch") == set()
    assert len(store.select(True)) == len(store.search(np.ones(DIM), 30, filter=True)) == 20
    assert store.select(False) == store.search(np.ones(DIM), 9, filter=False) == []
    assert store.delete_where(False) == 0
    with pytest.raises(UnknownKeyError, match="'number'"):
        store.select("nomber > 1")
    with pytest.raises(UsageError, match="deep"):  # what no column holds cannot be asked for
        store.select("deep == 1")
    assert store.delete_where(True) == 20 and len(store) == 0


def test_wrong_input_changes_nothing(folder, rng):
    store, truth = GrowingStore(folder), {}
    put(store, rng, range(5), truth=truth)
    good = np.ones((1, DIM))
    for error, arguments in [
        (DimensionError, (["a"], np.ones((1, DIM + 1)), ["t"], [{}])),
        (DimensionError, (["a", "b"], good, ["t"], [{}])),
        (NonFiniteError, (["a"], good * np.nan, ["t"], [{}])),
        (InputError, (["a"], good, ["t"], [{"number": "text"}])),
        (InputError, (["a"], good, ["t"], [{"x": {1, 2}}])),
        (InputError, (["a"], good, ["t"], [{3: 4}])),
        (InputError, (["a"], good, ["t"], [{"_rest": 4}])),
        (DTypeError, ([1], good, ["t"], [{}])),
        (DTypeError, ("a", good, ["t"], [{}])),
    ]:
        with pytest.raises(error):
            store.upsert(*arguments)
    with pytest.raises(DimensionError, match="8.*3"):
        store.search(np.ones(3), 1)
    with pytest.raises(UsageError, match="k"):
        store.search(np.ones(DIM), 0)
    check(store, truth)


def test_wrong_settings(tmp_path):
    for error, settings_ in [
        (UnknownKeyError, {"final_key": "IVF4,SQ9"}),
        (UsageError, {"index_key": "Pool16,SQ8"}),
        (UsageError, {"index_key": "Flat+Sparse(bm25)"}),
        (UsageError, {"final_key": "Sparse(bm25)"}),
        (UsageError, {"train_at": 0}),
        (UnknownKeyError, {"metric": "angle"}),
    ]:
        with pytest.raises(error):
            GrowingStore(**settings_)
    store = GrowingStore(final_key="PQ3", train_at=9)
    with pytest.raises(UsageError, match="PQ3|3"):  # does not divide the dim: said with the first document
        store.upsert(["a"], np.ones((1, DIM)), [""], [{}])


def test_two_stores_of_one_folder(tmp_path, rng):
    truth = {}
    one, two = GrowingStore(tmp_path / "s"), GrowingStore(tmp_path / "s")
    put(one, rng, range(5), truth=truth)
    put(two, rng, range(3, 8), "second", truth)
    check(one, truth)
    check(two, truth)
    one.save(tmp_path / "copy")
    with pytest.raises(OutputExistsError):
        two.save(tmp_path / "copy")
    check(GrowingStore(tmp_path / "copy"), truth)


def test_segments_are_merged(tmp_path, rng, few_segments):
    store, truth = GrowingStore(tmp_path / "s"), {}
    for number in range(40):
        put(store, rng, [number], truth=truth)
    assert len(store.index.segments) <= few_segments
    assert store.index.generation == 40
    check(store, truth)


# ---- conversion ----


def test_a_store_grows_up(folder, rng):
    store, truth = GrowingStore(folder, final_key="IVF4,SQfp16", train_at=40), {}
    put(store, rng, range(39), truth=truth)
    assert store.finish_conversion() and store.index.key == "Flat"
    put(store, rng, [39], truth=truth)
    assert store.finish_conversion() and store.index.key == "IVF4,SQfp16"
    check(store, truth, atol=1e-3)
    put(store, rng, range(30, 50), "later", truth)
    check(store, truth, atol=1e-3)
    assert [row.id for row in store.select("tag == 'first' and number < 2")] == ["d0", "d1"]
    if folder is not None:
        assert cc.verify_index(folder) == []
        check(GrowingStore(folder, final_key="IVF4,SQfp16"), truth, atol=1e-3)


@pytest.fixture
def slowly(monkeypatch):
    """Conversions wait, after their first pass over the rows, until `go` is set; `there` says that they do."""
    there, go = threading.Event(), threading.Event()
    plain = conversion.converted

    def waiting(*arguments, **settings_):
        made = plain(*arguments, **settings_)
        there.set()
        assert go.wait(30)
        return made

    monkeypatch.setattr(conversion, "converted", waiting)
    yield there, go
    go.set()


def test_nothing_is_lost_that_changes_during_the_conversion(folder, rng, slowly, few_segments):
    there, go = slowly
    store, truth = GrowingStore(folder, final_key="IVF4,SQfp16", train_at=40), {}
    for first in range(0, 40, 8):
        put(store, rng, range(first, first + 8), truth=truth)
    assert there.wait(30)
    put(store, rng, range(40, 60), "new", truth)
    put(store, rng, range(10), "replaced", truth)
    put(store, rng, range(45, 48), "replaced twice", truth)
    for name in ("d3", "d11", "d41", "d59"):
        store.delete([name])
        truth.pop(name)
    store.delete(["d12"])
    put(store, rng, [12], "back again", truth)
    store.delete([f"d{number}" for number in range(16, 24)])  # a whole segment
    truth = {name: value for name, value in truth.items() if name not in {f"d{n}" for n in range(16, 24)}}
    for number in range(60, 80):  # segments are merged on the way
        put(store, rng, [number], "one", truth)
    assert store.index.key == "Flat" and not store.finish_conversion(0.01)
    check(store, truth)
    go.set()
    assert store.finish_conversion() and store.index.key == "IVF4,SQfp16"
    check(store, truth, atol=1e-3)
    if folder is not None:
        assert cc.verify_index(folder) == []
        check(GrowingStore(folder), truth, atol=1e-3)


def test_threads_add_search_and_delete_while_it_grows(rng, tmp_path):
    store, truths, failures = GrowingStore(tmp_path / "s", final_key="IVF8,SQfp16", train_at=60), [], []

    def live(number):
        mine, own = {}, np.random.default_rng(number)
        try:
            for turn in range(12):
                first = 1000 * number + 4 * turn
                put(store, own, range(first, first + 4), f"turn {turn}", mine)
                gone = f"d{first + 1}"
                assert store.delete([gone]) == 1
                del mine[gone]
                name = next(iter(mine))
                assert store.search(mine[name][0], 1)[0].id == name
        except Exception as exc:  # noqa: BLE001 - the test shows it
            failures.append(exc)
        truths.append(mine)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert store.finish_conversion() and store.index.key == "IVF8,SQfp16"
    check(store, {name: value for truth in truths for name, value in truth.items()}, atol=1e-3)


def test_another_store_changes_the_folder_during_the_conversion(tmp_path, rng, slowly):
    there, go = slowly
    truth = {}
    store = GrowingStore(tmp_path / "s", final_key="IVF4,SQfp16", train_at=40)
    put(store, rng, range(40), truth=truth)
    assert there.wait(30)
    other = GrowingStore(tmp_path / "s", train_at=None)
    put(other, rng, range(35, 45), "other", truth)
    other.delete(["d1"])
    del truth["d1"]
    go.set()
    assert store.finish_conversion()
    assert store.index.key == "IVF4,SQfp16" == other.index.key
    check(store, truth, atol=1e-3)
    put(other, rng, [99], "after", truth)
    check(store, truth, atol=1e-3)


def test_two_conversions_of_one_folder(tmp_path, rng, slowly):
    there, go = slowly
    truth = {}
    one = GrowingStore(tmp_path / "s", final_key="IVF4,SQfp16", train_at=40)
    put(one, rng, range(40), truth=truth)
    two = GrowingStore(tmp_path / "s", final_key="IVF2,SQfp16", train_at=40)
    assert there.wait(30)
    go.set()
    assert one.finish_conversion() and two.finish_conversion()
    assert one.index.key == two.index.key in ("IVF4,SQfp16", "IVF2,SQfp16")
    check(one, truth, atol=1e-3)
    check(two, truth, atol=1e-3)


def test_a_store_that_was_left_before_its_conversion_goes_on(tmp_path, rng):
    truth = {}
    put(GrowingStore(tmp_path / "s", train_at=None), rng, range(50), truth=truth)
    store = GrowingStore(tmp_path / "s", final_key="IVF4,SQfp16", train_at=40)
    assert store.finish_conversion() and store.index.key == "IVF4,SQfp16"
    check(store, truth, atol=1e-3)


def test_a_conversion_that_cannot_be_is_told_and_tried_again(rng):
    store, truth = GrowingStore(final_key="IVF64,SQfp16", train_at=40), {}
    put(store, rng, range(40), truth=truth)
    with pytest.raises(TooFewRowsError):
        store.finish_conversion()
    put(store, rng, range(40, 50), truth=truth)
    store = GrowingStore(final_key="IVF64,SQfp16", train_at=40)
    put(store, rng, range(40), truth=truth)
    store._growth._conversion._thread.join()
    with pytest.warns(ConversionWarning, match="stays 'Flat'.*64"):
        put(store, rng, range(40, 50), truth=truth)
    put(store, rng, range(50, 80), truth=truth)
    assert store.finish_conversion() and store.index.key == "IVF64,SQfp16"
    check(store, truth, atol=1e-3)


def test_zero_vectors_are_not_trained_on(rng):
    store = GrowingStore(final_key="PQ2x4", train_at=60, metric="ip", dim=DIM)
    store.upsert([f"z{i}" for i in range(44)], np.zeros((44, DIM)), [None] * 44, [{}] * 44)
    put(store, rng, range(16))
    store.finish_conversion()
    assert store.index.settings["training_rows"] == 16 and len(store) == 60


def test_default_keys_fit_every_dim():
    for dim in (1, 7, 384):
        cc.index_factory(growing.FINAL_KEY, dim)
