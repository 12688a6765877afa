"""Documents that a condition lets pass: a search among them is that of an index without the others."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.bits import pack_mask
from cluscomp.indexes.multivector.queries import ragged_of_dim
from cluscomp.indexes.multivector.search import Effort, search_documents
from cluscomp.indexes.segments.passing import restricted
from cluscomp.indexes.segments.row_sets import RowSet


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_candidates_are_chosen_among_the_documents_that_pass(key, make_documents, questions, share):
    q, lengths = questions
    index = make_documents(key)
    x, n = index.vectors([3, 50, 77])
    index.add(x, lengths=n)
    index.delete([8, 151])
    passes = np.random.default_rng(2).random(153) < share
    passes[[9, 152]] = True
    only = restricted(
        index._together, [RowSet(len(part), bits=pack_mask(part)) for part in (passes[:150], passes[150:])]
    )
    index.delete(np.setdiff1d(index.ids, np.flatnonzero(passes)))
    assert only.n_live == len(index)
    k = min(4, len(index))
    asked = ragged_of_dim(q, lengths, index.dim, "queries", largest=index.pipeline.largest)
    for candidates in (k, 20, 200):
        for by_fde in (False, True):
            effort = Effort(candidates, index.nprobe, 2, by_fde)
            found = search_documents(index.pipeline, only, asked, k, effort)
            want = index.search(
                q, k, lengths=lengths, candidates=candidates, refine_factor=2,
                candidates_by="fde" if by_fde else "lists",
            )  # fmt: skip
            np.testing.assert_array_equal(found.positions, want[1])
            np.testing.assert_array_equal(found.scores, want[0])
            assert passes[found.positions].all()
