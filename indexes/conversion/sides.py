"""Hybrid indexes under another key: new codes of vectors beside the terms as they are, or one side alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from cluscomp.errors import UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.hybrid.index import HybridIndex
from cluscomp.indexes.hybrid.segment import HybridSegment
from cluscomp.indexes.index import open_index
from cluscomp.indexes.keys.hybrid import HybridSpec
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of

OF_FUSION = ("weight", "depth", "query_cut", "heap_factor")
"""Settings that do not depend on the codes of the vectors."""


def vectors_alone(spec: IndexSpec) -> bool:
    """Whether a key stores no terms beside vectors."""
    return not isinstance(spec, HybridSpec)


def vectors_key(index: HybridIndex, spec: IndexSpec, *, from_source: bool) -> IndexSpec | None:
    """The key that vectors are to be encoded under; None where a side is taken as it is.

    spec: of the new index. from_source: whether vectors are given. Raises UsageError for terms under another
    key.
    """
    own = index.spec
    assert isinstance(own, HybridSpec)
    if kind_of(spec).terms or isinstance(spec, HybridSpec):
        terms = spec.terms if isinstance(spec, HybridSpec) else spec
        if str(terms) != str(own.terms):
            raise UsageError(
                f"{str(terms)!r} is another key of terms than {str(own.terms)!r}, and terms cannot be made "
                f"anew of what is stored: write +{own.terms} behind a key of vectors, {own.terms} or a key "
                "of vectors alone, or build the index again from its texts"
            )
    if kind_of(spec).terms:
        if from_source:
            raise UsageError(f"{str(spec)!r} takes the terms alone, and vectors are given; leave them out")
        return None
    return None if str(spec.dense) == str(own.dense) and not from_source else spec.dense


def write_side(index: HybridIndex, spec: IndexSpec, target: Place, if_exists: str) -> None:
    """Write one side of an index, or both, as they are, without deleted rows. index: compacted in memory."""
    segment = _whole(index)
    new: StoredIndex[Any] = kind_of(spec).index(spec, index.dim, index.metric, seed=index.seed)
    new._training = dict(index.training)
    if kind_of(spec).terms:
        new.pipeline = index.pipeline.words
        stored: StoredSegment = segment.words_stored
        encoder = index.lexical.encoder
    elif isinstance(spec, HybridSpec):
        new.pipeline, stored, encoder = index.pipeline, segment, index.encoder
    else:
        new.pipeline.take_stages(index.pipeline)
        stored, encoder = segment.vectors_stored, index.dense.encoder
    known = new.search_defaults()
    new.settings = {name: value for name, value in index.settings.items() if name in known}
    _save(new, index, stored, segment, encoder, target, if_exists)


def write_beside_terms(
    index: HybridIndex, spec: HybridSpec, build: Callable[[Place], None], target: Place, if_exists: str
) -> None:
    """Write an index of new codes and the terms of `index`, which is compacted in memory. build: leaves the
    index of the vectors, in the order of the rows, in a folder.
    """
    folder = target.work_path("vectors")
    shutil.rmtree(folder, ignore_errors=True)  # what a killed call left
    try:
        build(place_of(folder))
        dense: Any = open_index(folder)
        segment = _whole(index)
        new = HybridIndex(spec, index.dim, index.metric, seed=dense.seed)
        new.pipeline.take_stages(dense.pipeline)
        new.pipeline.words = index.pipeline.words
        new.settings = {**dense.settings, **_kept_settings(index)}
        both = HybridSegment.of(dense.segments[0], segment.words_stored)
        new._training = dense.training
        _save(new, index, both, segment, index.encoder, target, if_exists)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _whole(index: HybridIndex) -> HybridSegment:
    index.compact(segments=1, dead=0)
    (segment,) = index.segments
    return segment


def _kept_settings(index: HybridIndex) -> dict[str, Any]:
    return {name: value for name, value in index.settings.items() if name in OF_FUSION}


def _save(
    new: StoredIndex[Any],
    index: HybridIndex,
    stored: StoredSegment,
    described: StoredSegment,
    encoder: Any,
    target: Place,
    if_exists: str,
) -> None:
    """Save an index of one segment. described: the segment whose attributes and texts the rows have."""
    texts = described.texts
    new._append(
        stored.changed(attributes=described.attributes, texts=texts, deleted=None, files={}, name=None)
    )
    new._schema, new.next_id, new.encoder = index.attribute_schema, index.next_id, encoder
    new.save(str(target), if_exists="fail" if if_exists == "fail" else "replace")
