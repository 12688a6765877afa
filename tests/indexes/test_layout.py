"""Storage order of 4-bit codes: by hand, in a file piece by piece, and without a trace in the results."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.indexes import index_factory, open_index, parse_key
from cluscomp.indexes.build.finishing import arrange_file
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.stages.code_layout import arrange_codes, plain_codes
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.product_codecs import PQ
from cluscomp.indexes.stages.registry import make_codec


def test_groups_are_transposed_and_so_is_the_rest_of_a_list(rng):
    codec = make_codec(PQ(6, 4), 12)
    codes = rng.integers(0, 256, size=(70, 3)).astype("u1")
    stored = codes.copy()
    arrange_codes(codec, {"codes": stored}, np.array([0, 35, 35, 70]))
    np.testing.assert_array_equal(stored[:32].reshape(3, 32), codes[:32].T)
    np.testing.assert_array_equal(stored[32:35].reshape(3, 3), codes[32:35].T)
    np.testing.assert_array_equal(stored[35:67].reshape(3, 32), codes[35:67].T)
    np.testing.assert_array_equal(stored[67:].reshape(3, 3), codes[67:].T)
    plain = plain_codes(codec, {"codes": stored}, np.array([0, 35, 35, 70]))
    np.testing.assert_array_equal(plain["codes"], codes)


def test_other_codes_stay_as_they_are(rng):
    codes = rng.integers(0, 256, size=(70, 6)).astype("u1")
    stored = codes.copy()
    arrange_codes(make_codec(PQ(6, 8), 12), {"codes": stored}, np.array([0, 70]))
    np.testing.assert_array_equal(stored, codes)


@pytest.mark.parametrize("max_block_bytes", [1, 200, 1000, 10**6])
@pytest.mark.parametrize("offsets", [[0, 500], [0, 0, 33, 33, 64, 300, 499, 500, 500]])
def test_a_file_is_arranged_in_pieces_as_in_memory(rng, tmp_path, offsets, max_block_bytes):
    codec = make_codec(PQ(6, 4), 12)
    offsets = np.array(offsets, dtype=np.int64)
    codes = rng.integers(0, 256, size=(500, 3)).astype("u1")
    path = tmp_path / "codes.npy"
    from cluscomp.indexes.storage.stream import ArrayStream

    stream = ArrayStream(path, "|u1", (3,))
    stream.append(codes)
    spec: ArraySpec = stream.finish()
    arrange_file(codec, path, spec, offsets, max_block_bytes)
    arrange_codes(codec, {"codes": codes}, offsets)
    np.testing.assert_array_equal(np.load(path), codes)


@pytest.mark.parametrize("key", ["PQ8x4", "IVF7,PQ8x4", "IVF7,PQ8x4fs,RFlat"])
def test_streamed_equals_added_and_results_have_no_trace_of_it(rng, tmp_path, key):
    rows, queries = rng.normal(size=(900, 16)).astype("f4"), rng.normal(size=(20, 16)).astype("f4")
    index = index_factory(key, 16, "ip").train(rows)
    with IndexWriter(index, tmp_path / "i", max_block_bytes=500) as writer:
        for part in np.array_split(rows, 5):
            writer.add(part)
        writer.finish()
    streamed, added = open_index(tmp_path / "i"), index.add(rows)
    np.testing.assert_array_equal(streamed.segments[0].codes["codes"], added.segments[0].codes["codes"])
    faiss = pytest.importorskip("faiss")
    del faiss
    added.refine_factor = 90  # every row: faiss chooses candidates by exact scores, we by rounded ones
    copied = added.to_faiss()
    scores, ids = added.search(queries, 10)
    theirs, their_ids = copied.search(queries, 10)
    np.testing.assert_array_equal(ids, their_ids)
    np.testing.assert_allclose(scores, theirs, rtol=1e-5, atol=1e-5)


def test_the_name_that_faiss_uses():
    assert str(parse_key("IVF16,PQ8x4fs,RFlat")) == "IVF16,PQ8x4,RFlat"
