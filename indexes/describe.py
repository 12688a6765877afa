"""What an index consists of: every byte of its folder by part, and how even its lists are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cluscomp.attributes import Schema
from cluscomp.clustering.balanced.report import scanned_rows
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.manifest import FORMAT_VERSION, FileEntry, Manifest
from cluscomp.indexes.storage.names import is_texts_file
from cluscomp.indexes.storage.origin import Origin
from cluscomp.indexes.storage.parts import array_part
from cluscomp.indexes.storage.saving import Written, planned, stored_arrays

PARTS = (
    "codes", "shadow", "refine", "positions", "list_offsets", "ids", "tombstones",
    "centroids", "codebooks", "rotation", "manifest", "texts", "other",
)  # fmt: skip
_ANY_CHECKSUM = "0" * 64


class Described(Protocol):
    """What is read of an index."""

    spec: IndexSpec
    pipeline: Pipeline
    key: str
    dim: int
    metric: str
    seed: int
    settings: dict[str, Any]

    def __len__(self) -> int: ...

    @property
    def segments(self) -> Sequence[Any]: ...

    @property
    def n_deleted(self) -> int: ...

    @property
    def is_trained(self) -> bool: ...

    @property
    def id_kind(self) -> str | None: ...

    @property
    def code_size(self) -> int: ...

    @property
    def code_bytes_per_document(self) -> float: ...

    @property
    def encoder(self) -> dict[str, Any] | None: ...

    @property
    def nprobe(self) -> int: ...

    @property
    def attribute_schema(self) -> Schema: ...

    @property
    def origin(self) -> Origin | None: ...

    @property
    def extra_files(self) -> tuple[str, ...]: ...

    def extra_file(self, name: str) -> Any: ...

    def row_facts(self, sizes: Mapping[str, int]) -> dict[str, Any]: ...

    def search_defaults(self) -> dict[str, float]: ...

    @property
    def has_changes(self) -> bool: ...

    @property
    def generation(self) -> int | None: ...

    def manifest(self, written: Written, extra_files: Mapping[str, Any]) -> Manifest: ...


def bytes_by_part(index: Described) -> dict[str, int]:
    """Bytes of the folder that `index.save` writes, by part; "total" is their sum, and the size of the
    folder.

    codes: rows as the codec stores them. list_numbers, doc_offsets: of a multi-vector index, the list of each
    vector and where the vectors of each document begin. prescreen: 8-bit codes beside float rows.
    refine: finer codes of the rerank. positions, list_offsets: which row stands where in the lists. ids:
    nothing for consecutive integers. tombstones: deleted rows. attributes: their columns, where there are
    any. centroids, codebooks, rotation: what training learned. manifest: manifest.json. texts: titles and
    texts of rows, once they are saved. other: build.json
    and other files stored with the index. Each .npy file counts with its header of 128 bytes.
    """
    segment = kind_of(index.spec).segment
    sizes = dict.fromkeys((*PARTS, *segment.parts.values()), 0)
    arrays = stored_arrays(index.pipeline, index.segments)
    for stored in arrays:
        part = array_part(stored.stage, stored.name, segment)
        sizes[part] = sizes.get(part, 0) + stored.file_bytes
    sizes["texts"] = sum(_texts_bytes(index).values())
    sizes["other"] = sum(other_files(index).values())
    sizes["manifest"] = _manifest_bytes(index)
    return sizes | {"total": sum(sizes.values())}


def other_files(index: Described) -> dict[str, int]:
    """Bytes of each file that was stored with the index and is neither an array nor texts of its rows."""
    names = [name for name in index.extra_files if not is_texts_file(name)]
    return {name: index.extra_file(name).stat().st_size for name in names}


def _texts_bytes(index: Described) -> dict[str, int]:
    """Bytes of each file of titles and texts; those that were given since the last save have none yet."""
    sources = [segment.texts.source for segment in index.segments if segment.texts is not None]
    return {source.path.name: source.entry.bytes for source in sources if source is not None}


def describe(index: Described, *, nprobe: int | None = None) -> dict[str, Any]:
    """All facts about an index as JSON values. nprobe: for the rows that a query reads (`list_balance`)."""
    sizes = bytes_by_part(index)
    n_live = len(index)
    refine = index.pipeline.refine
    return {
        "key": index.key,
        "dim": index.dim,
        "metric": index.metric,
        "format_version": FORMAT_VERSION,
        "generation": index.generation,
        "encoder": index.encoder,
        "seed": index.seed,
        "is_trained": index.is_trained,
        "n_total": n_live,
        "n_deleted": index.n_deleted,
        "n_segments": len(index.segments),
        "id_kind": index.id_kind,
        "code_size": index.code_size,
        "refine_code_size": 0 if refine is None else refine.row_bytes,
        "bytes": sizes,
        "code_bytes_per_document": round(index.code_bytes_per_document, 2),
        "bytes_per_document": round(sizes["total"] / n_live, 2) if n_live else None,
        **index.row_facts(sizes),
        "other_files": other_files(index),
        "attributes": index.attribute_schema.to_json(),
        "settings": dict(index.settings),
        "search_defaults": index.search_defaults(),
        "lists": list_balance(index, nprobe),
    }


def list_balance(index: Described, nprobe: int | None = None) -> dict[str, Any] | None:
    """Evenness of the lists, deleted rows counted, since a scan reads them; None without partition or rows.

    cv: standard deviation over mean of the sizes. bound: rows that a balanced list (BIVF) may hold, None for
    others; exceeded_by: rows of the largest list beyond it, as `compact` may leave them. expected_scan: share
    of the rows that one probe reads when queries fall like the rows, sum (size / n)^2, times nlist: 1 for
    equal lists. scanned: rows that a query reads with nprobe lists (default: the index's): mean, median and
    99th percentile, for queries at the centroids that are as frequent as the rows there.
    """
    partition = index.pipeline.partition
    if partition is None or not index.segments:
        return None
    sizes = list_sizes(index.segments, index.spec.nlist)
    bound, exceeded_by = partition.beyond_bound(sizes)
    counts = sizes.astype(np.float64)
    mean = counts.mean()
    return {
        "scanned": _scanned(index, counts, index.nprobe if nprobe is None else nprobe),
        "nlist": int(counts.size),
        "mean": float(mean),
        "min": int(counts.min()),
        "max": int(counts.max()),
        "cv": float(counts.std() / mean),
        "max_over_mean": float(counts.max() / mean),
        "bound": bound,
        "exceeded_by": exceeded_by,
        "empty": int((counts == 0).sum()),
        "above_4x_mean": int((counts > 4 * mean).sum()),
        "expected_scan": float((counts**2).sum() / counts.sum() ** 2 * counts.size),
    }


_PROBED_CENTROIDS = 2048


def _scanned(index: Described, sizes: np.ndarray, nprobe: int) -> dict[str, Any]:
    partition = index.pipeline.partition
    assert partition is not None
    some = np.linspace(0, sizes.size - 1, min(sizes.size, _PROBED_CENTROIDS)).astype(np.int64)
    rows = scanned_rows(sizes, partition.probe(partition.centroids[some], nprobe).lists)
    order, weights = np.argsort(rows, kind="stable"), sizes[some]
    reached = np.cumsum(weights[order])
    median, most = (int(rows[order[np.searchsorted(reached, q * reached[-1])]]) for q in (0.5, 0.99))
    mean = float(rows @ weights / weights.sum()) if weights.any() else float(rows.mean())
    return {"nprobe": nprobe, "mean": mean, "p50": median, "p99": most}


def _manifest_bytes(index: Described) -> int:
    """Size of manifest.json: of the file if the index is as opened, else of what `save` writes elsewhere."""
    if index.origin is not None and not index.has_changes:
        return index.origin.manifest_bytes()
    files = other_files(index) | _texts_bytes(index)
    extra = {name: FileEntry(size, _ANY_CHECKSUM) for name, size in files.items()}
    return len(index.manifest(planned(index.pipeline, index.segments), extra).to_bytes())
