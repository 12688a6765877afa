"""The kinds of indexes of this package: single vectors, documents of several vectors, weighted terms in an
inverted file or in clustered postings, and vectors with terms.

To add one: a class of the index (a `StoredIndex`), a class of its segments (a `StoredSegment`), a `Recipe` of
its builds, and one `register` line. Nothing else asks which kind an index is of.
"""

from __future__ import annotations

from cluscomp.indexes.kind import Kind, register


def _vectors() -> Kind:
    from cluscomp.indexes.index import Index
    from cluscomp.indexes.segments.segment import Segment

    return Kind("vectors", Index, Segment, _vector_recipe)


def _vector_recipe() -> object:
    from cluscomp.indexes.build.vectors import RECIPE

    return RECIPE


def _documents() -> Kind:
    from cluscomp.indexes.multivector.index import MultiVectorIndex
    from cluscomp.indexes.multivector.segment import DocumentSegment

    return Kind("documents", MultiVectorIndex, DocumentSegment, _document_recipe, ragged=True)


def _document_recipe() -> object:
    from cluscomp.indexes.build.documents import RECIPE

    return RECIPE


def _terms() -> Kind:
    from cluscomp.indexes.sparse.index import SparseIndex, term_pipeline
    from cluscomp.indexes.sparse.segment import TermSegment

    return Kind("terms", SparseIndex, TermSegment, _term_recipe, terms=True, stages=term_pipeline)


def _term_recipe() -> object:
    from cluscomp.indexes.build.terms import RECIPE

    return RECIPE


def _clustered_terms() -> Kind:
    from cluscomp.indexes.sparse.clustered_index import SeismicIndex
    from cluscomp.indexes.sparse.clustered_segment import ClusteredSegment
    from cluscomp.indexes.sparse.index import term_pipeline

    name = "clustered_terms"
    return Kind(name, SeismicIndex, ClusteredSegment, _clustered_recipe, terms=True, stages=term_pipeline)


def _clustered_recipe() -> object:
    from cluscomp.indexes.build.terms import CLUSTERED_RECIPE

    return CLUSTERED_RECIPE


def _hybrid() -> Kind:
    from cluscomp.indexes.hybrid.index import HybridIndex
    from cluscomp.indexes.hybrid.pipeline import hybrid_pipeline
    from cluscomp.indexes.hybrid.segment import HybridSegment

    return Kind("hybrid", HybridIndex, HybridSegment, _hybrid_recipe, both=True, stages=hybrid_pipeline)


def _hybrid_recipe() -> object:
    from cluscomp.indexes.build.hybrid import RECIPE

    return RECIPE


register("vectors", _vectors)
register("documents", _documents)
register("terms", _terms)
register("clustered_terms", _clustered_terms)
register("hybrid", _hybrid)
