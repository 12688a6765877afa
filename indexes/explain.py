"""What an index key stands for, part by part, and how many bytes it takes, before anything is built."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cluscomp.checks import integer
from cluscomp.errors import CluscompError
from cluscomp.indexes.keys.forms import token_form
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.keys.table import KeyPart, key_parts, meaning_of
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes

ROWS = 1_000_000
"""Rows over which arrays that do not grow with them are spread."""


def explain_key(key: str, dim: int | None = None, metric: str = "ip") -> dict[str, Any]:
    """Explain the parts of an index key, and with a dim the bytes of a document.

    Args:
        key: an index key, such as "OPQ48,IVF1024,PQ48".
        dim: of the vectors; None leaves the bytes out.
        metric: "ip", "l2" or "cosine".

    Returns:
        JSON values: key (canonical), parts (a list of stage, part, meaning and, with a dim, dim behind the
        part); with a dim also code_bytes_per_document (codes without those of a rerank),
        bytes_per_document, bytes (the same by part of the folder, without ids) and trained_bytes (rotation,
        centroids and codebooks together). Of documents of several vectors, vectors_per_document: the most a
        pool leaves, or None where that depends on the document; bytes are then those of one vector. Of hybrid
        keys, not_counted: "terms", whose number depends on the documents.

    Raises:
        UnknownKeyError: the key or the metric is unknown.
        UsageError: the key does not fit the dim or the metric.

    """
    spec = parse_key(key).resolved()
    if dim is None:
        return {"key": str(spec), "parts": _parts(spec, None)}
    index = kind_of(spec).index(spec, integer("dim", dim, 1), metric)
    return {
        "key": index.key,
        "dim": index.dim,
        "metric": index.metric,
        "parts": _parts(index.spec, index.dim),
        **_bytes(index),
    }


def known_forms(dim: int | None = None) -> list[dict[str, Any]]:
    """All forms of the parts of keys: stage, form, example, meaning, and code_bytes.

    code_bytes: bytes of a vector of this dim in the codes of the example; None for parts that are no codec,
    and where no dim is given or the example does not fit it.
    """
    return [{**asdict(part), "code_bytes": _code_bytes(part, dim)} for part in key_parts()]


def _code_bytes(part: KeyPart, dim: int | None) -> int | None:
    if dim is None or part.stage not in ("codec", "refine"):
        return None
    key = part.example if part.stage == "codec" else f"Flat,{part.example}"
    try:
        pipeline = Pipeline(parse_key(key).resolved(), integer("dim", dim, 1), "ip", 0)
    except CluscompError:  # a folder that is an example, a number that does not divide the dim
        return None
    codec = pipeline.codec if part.stage == "codec" else pipeline.refine
    return None if codec is None else codec.row_bytes


def _parts(spec: IndexSpec, dim: int | None) -> list[dict[str, Any]]:
    found = []
    for token in spec.tokens():
        form = token_form(token)
        assert form is not None  # it was parsed
        found.append({"stage": form.stage, "part": token, "meaning": meaning_of(form, token)})
    if dim is not None:
        _add_dims(found, spec, dim)
    return found


def _add_dims(parts: list[dict[str, Any]], spec: IndexSpec, dim: int) -> None:
    """Dimension of rows behind each part; the rerank works on rows as they came."""
    dims = spec.stage_dims(dim)
    shown = iter([dims[number + 1] for number, step in enumerate(spec.transforms) if not step.hidden])
    behind = dim
    for part in parts:
        behind = next(shown) if part["stage"] == "transform" else behind
        part["dim"] = dim if part["stage"] == "refine" else behind


def _bytes(index: Any) -> dict[str, Any]:
    kind = kind_of(index.spec)
    vectors = getattr(index.spec.pool, "n", None) if index.spec.sums_tokens else 1
    documents = ROWS if vectors else 1  # where the vectors of a document are not known, all are those of one
    arrays = kind.segment.new_arrays(index.pipeline, documents, ROWS * (vectors or 1))
    sizes = part_bytes(kind.segment, arrays, ROWS)
    parts = {part: round(size / ROWS, 2) for part, size in sizes.items()}
    return {
        **({"vectors_per_document": vectors} if index.spec.sums_tokens else {}),
        "code_bytes_per_document": index.pipeline.codec.row_bytes * (vectors or 1),
        "bytes_per_document": round(sum(parts.values()), 2),
        "bytes": parts,
        **({"not_counted": "terms"} if kind.both else {}),
        "trained_bytes": sum(trained_bytes(index.pipeline).values()),
    }
