"""to_faiss: the same ids and scores for every key and metric, with nothing trained again."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cluscomp.errors import EmptyInputError, NotTrainedError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.stages import registrations
from cluscomp.indexes.stages.code_layout import plain_codes

faiss = pytest.importorskip("faiss")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    faiss.omp_set_num_threads(1)


def assert_equal(index, copied, queries, k=10) -> None:
    scores, ids = index.search(queries, k)
    theirs, their_ids = copied.search(queries, k)
    theirs = -theirs if index.metric == "l2" else theirs
    np.testing.assert_allclose(theirs, scores, rtol=1e-4, atol=1e-4 * np.abs(scores).max())
    for row in range(len(queries)):  # rows whose scores tie up to rounding may come in another order
        gaps = np.abs(np.diff(scores[row])) > 1e-4 * np.abs(scores).max()
        group = np.concatenate([[0], np.cumsum(gaps)])
        for number in range(group[-1]):  # the last group may be cut off by k
            assert set(ids[row][group == number]) == set(their_ids[row][group == number])


def test_same_results(trained, any_key: str, any_metric: str, rows, queries) -> None:
    """Ids with gaps, two segments, deleted rows."""
    ids = np.random.default_rng(2).permutation(10**6)[:600]
    index = trained(any_key, any_metric).add(rows[:350], ids[:350]).add(rows[350:], ids[350:])
    index.delete(ids[100:180])
    if index.pipeline.refine is not None:
        index.refine_factor = 52  # all rows: 4-bit codes choose candidates by rounded scores
    if "RaBitQ" in any_key or "SAQ" in any_key:
        with pytest.raises(UsageError, match="faiss has no codes like those of (RaBitQ|SAQ)"):
            index.to_faiss()
        return
    copied = index.to_faiss()
    assert copied.ntotal == 520
    assert copied.is_trained
    assert_equal(index, copied, queries)


@pytest.mark.parametrize("key", ["Flat", "IVF8,PQ4", "OPQ4,IVF8,PQ4x4,RFlat", "L2norm,SQ8", "BIVF8,PQ4"])
def test_faiss_writes_and_reads_it(make_index, queries, tmp_path, key: str) -> None:
    index = make_index(key, "cosine")
    faiss.write_index(index.to_faiss(), str(tmp_path / "index.faiss"))
    assert_equal(index, faiss.read_index(str(tmp_path / "index.faiss")), queries)


def test_defaults_come_along(make_index, queries) -> None:
    index = make_index("IVF8,SQ8", "ip")
    index.nprobe = 2
    copied = index.to_faiss()
    assert copied.nprobe == 2
    assert_equal(index, copied, queries, k=3)
    refined = make_index("PQ4x4,RFlat", "l2")
    refined.refine_factor = 7
    assert refined.to_faiss().k_factor == 7


def test_opened_index(make_index, queries, tmp_path) -> None:
    make_index("OPQ4,IVF8,PQ4x6", "l2").save(tmp_path / "index")
    index = open_index(tmp_path / "index")
    assert_equal(index, index.to_faiss(), queries)


def test_codes_are_ours_bit_for_bit(make_index) -> None:
    for key in ("PQ4", "PQ4x4", "PQ4x6", "SQ8", "SQfp16", "Flat"):
        index = make_index(key, "ip")
        copied = index.to_faiss()  # kept alive: its codes are a view
        codes = faiss.vector_to_array(copied.codes)
        segment = index.segments[0]
        plain = plain_codes(index.pipeline.codec, segment.codes, segment.offsets)["codes"]
        np.testing.assert_array_equal(codes, plain.view(np.uint8).reshape(-1))


def test_text_ids(make_index, queries) -> None:
    index = make_index("IVF8,Flat", "ip", [f"d{i}" for i in range(600)])
    index.delete(["d0", "d10"])
    with pytest.raises(UsageError, match="text_ids='rows'"):
        index.to_faiss()
    _, rows = index.to_faiss(text_ids="rows").search(queries, 5)
    np.testing.assert_array_equal(index.ids[rows], index.search(queries, 5)[1])
    with pytest.raises(UsageError, match="known are: fail, rows"):
        index.to_faiss(text_ids="hash")


def test_nothing_to_copy() -> None:
    with pytest.raises(EmptyInputError):
        index_factory("Flat", 4).to_faiss()
    with pytest.raises(NotTrainedError):
        index_factory("SQ8", 4).to_faiss()


@pytest.mark.parametrize("tool", ["faiss", "lance", "cuvs"])
@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("Pool4,PQ4", "--to npy"),
        ("Sparse(bm25)", r"vectors\(ids\)"),
        ("Seismic", r"vectors\(ids\)"),
        ("Flat+Sparse", "index.dense"),
    ],
)
def test_rows_that_are_no_single_vectors(tool: str, key: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=f"(?i){tool} has no index like this one.*{remedy}"):
        getattr(index_factory(key, 8), f"to_{tool}")()


def test_every_form_is_tested_above(all_keys: tuple[str, ...]) -> None:
    """A new codec, transform or partition is in one of the keys, so that it has a copy, or a test of why not."""
    named = [
        f for value in vars(registrations).values() for f in (value if isinstance(value, tuple) else [value])
    ]
    shown = [form for form in named if isinstance(form, Form) and form.shown and form.stage != "refine"]
    parts = {part for key in all_keys for part in re.split(r",(?![^()]*\))", key)}
    missing = [form for form in shown if not any(re.fullmatch(form.pattern, part) for part in parts)]
    of_vectors = [f.example for f in missing if f.stage != "codec" or not kind_of(parse_key(f.example)).terms]
    assert len(shown) > 12 and sorted(of_vectors) == ["Flat(noshadow)", "PCAW64", "SQfp16(shadow)"]


def test_half_whitened_components_have_no_copy(make_index) -> None:
    with pytest.raises(UsageError, match="faiss"):
        make_index("PCAW4,SQ8", "ip").to_faiss()


@pytest.mark.parametrize("key", ["Flat(noshadow)", "SQfp16(shadow)"])
def test_shadows_are_left_behind(make_index, queries, key: str) -> None:
    index = make_index(key, "l2")
    assert_equal(index, index.to_faiss(), queries)
