"""The shape of a learned codec, found in the listing of an index folder that holds its arrays."""

from __future__ import annotations

from collections.abc import Mapping

from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.keys.grammar import IndexSpec, LearnedShape, RepCONC
from cluscomp.indexes.stages.learned_codec import with_shape
from cluscomp.indexes.storage.manifest import FileEntry


def bind(spec: IndexSpec, files: Mapping[str, FileEntry], where: str) -> IndexSpec:
    """The spec of an index whose folder lists `files`; unchanged without a learned codec.

    Raises CorruptIndexError where the files of the codec are not listed.
    """
    if not isinstance(spec.codec, RepCONC):
        return spec
    rotation = f"transform{len(spec.transforms) - spec.has_leading_norm}"
    try:
        m, centroids, _ = _shape(files["codec.document_centroids.npy"], 3)
        d_out, dim = _shape(files[f"{rotation}.rotation.npy"], 2)
    except KeyError as exc:
        raise CorruptIndexError(
            f"{where} does not list {exc.args[0]} with its shape, which {spec.codec} needs; the index is "
            "damaged: restore a copy or rebuild it"
        ) from exc
    shape = LearnedShape(
        dim=dim,
        d_out=d_out,
        m=m,
        nbits=centroids.bit_length() - 1,
        two_sets="codec.query_centroids.npy" in files,
        adapter=f"{rotation}.adapter_weight.npy" in files,
    )
    return with_shape(spec, spec.codec, shape, None)


def _shape(entry: FileEntry, lengths: int) -> tuple[int, ...]:
    if entry.shape is None or len(entry.shape) != lengths or 0 in entry.shape:
        raise KeyError("an array of the codec")
    return entry.shape
