"""From the body of a search to its queries and options."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, InputError, RequestRefusedError, UsageError
from cluscomp.server.conditions import check_unicode, filter_text
from cluscomp.server.models import Packed, PackedTokens, PutRequest, SearchRequest
from cluscomp.server.searching import Queries
from cluscomp.server.served import Served
from cluscomp.server.settings import ServerSettings
from cluscomp.terms import TermRows

WORDS, VECTORS = ("text", "texts", "terms"), ("vectors", "vectors_b64", "tokens_b64")
OPTIONS = ("nprobe", "refine_factor", "candidates", "query_cut", "heap_factor", "weight", "depth")


def check_forms(body: SearchRequest | PutRequest, served: Served) -> None:
    """Raise RequestRefusedError unless the body has one form of its rows, or two for a hybrid index."""
    words, vectors = given(body, WORDS), given(body, VECTORS)
    if len(words) + len(vectors) == 1 or (served.both and len(words) == len(vectors) == 1):
        return
    both = " and ".join((*words, *vectors))
    what = f"{both} are given" if both else "none is given"
    known = [[name for name in names if name in vars(body)] for names in (WORDS, VECTORS)]
    more = f"; beside vectors this index takes one of {', '.join(known[0])}" if served.both else ""
    raise unfit(f"one of {', '.join(known[0] + known[1])} is needed, and {what}{more}")


def given(body: SearchRequest | PutRequest, names: Sequence[str]) -> list[str]:
    """Those of the fields that the body has."""
    fields = vars(body)
    return [name for name in names if fields.get(name) is not None]


def texts_of(body: SearchRequest, settings: ServerSettings) -> list[str] | None:
    """Texts of the body, if it has some. Raises RequestRefusedError, InputError."""
    texts = [body.text] if body.text is not None else body.texts
    if texts is None:
        return None
    _check_number(len(texts), settings.max_queries)
    for text in texts:
        if not text.strip():
            raise InputError("a text is empty; give the words to search for")
        check_unicode(text)
    return texts


def vectors_of(body: SearchRequest | PutRequest, served: Served, most: int) -> Queries:
    """Vectors of the body, of at most `most` queries or documents, for an index of vectors alone.

    Raises RequestRefusedError, DimensionError, InputError, UsageError.
    """
    if served.terms:
        raise UsageError(f"{served.name!r} stores weighted terms, not vectors; send text or terms")
    if served.both:
        raise UsageError(
            f"{served.name!r} stores vectors and terms; send text, texts or terms beside the vectors"
        )
    return dense_of(body, served, most)


def terms_of(body: SearchRequest | PutRequest, served: Served, most: int) -> TermRows:
    """Terms of at most `most` queries or documents. Raises RequestRefusedError, InputError, UsageError."""
    if not served.terms and not served.both:
        raise UsageError(f"{served.name!r} stores vectors, not weighted terms; send vectors or text")
    if served.both and not given(body, VECTORS):
        raise UsageError(f"{served.name!r} stores vectors and terms; send vectors beside the terms")
    rows = body.terms or []
    _check_number(len(rows), most)
    for term in (term for row in rows for term in row):
        check_unicode(term)
    return TermRows.from_mappings(rows)


def dense_of(body: SearchRequest | PutRequest, served: Served, most: int) -> Queries:
    """As `vectors_of`, also for the vectors of a hybrid index."""
    if body.tokens_b64 is not None:
        return _tokens(body.tokens_b64, served, most)
    if served.several_vectors:
        raise UsageError(
            f"{served.name!r} stores several vectors a document; send tokens_b64, with lengths, or text"
        )
    if body.vectors_b64 is not None:
        rows = unpacked(body.vectors_b64)
        rows = rows[None] if rows.ndim == 1 else rows
    else:
        rows = _rows(body.vectors or [])
    _check_number(len(rows), most)
    _check_dim(rows, served)
    return Queries(np.ascontiguousarray(rows, dtype=np.float32))


def options_of(body: SearchRequest, served: Served) -> dict[str, Any]:
    """Options of `search` that the body gives. Raises UsageError where the index has none of that name."""
    fields = vars(body)
    given = {name: fields[name] for name in OPTIONS if fields[name] is not None}
    if given and (unknown := given.keys() - served.index.search_defaults().keys()):
        raise UsageError(
            f"{', '.join(sorted(unknown))}: no effect on {served.name!r}, whose key is {served.index.key!r}; "
            "leave it out"
        )
    return {**given, **_condition_of(body, served)}


def _condition_of(body: SearchRequest, served: Served) -> dict[str, Any]:
    """Filter and tenant, so that equal ones are equal: conditions of JSON values are text in canonical form.

    Raises UsageError, also where the index has a tenant column and no tenant is said.
    """
    condition: dict[str, Any] = {}
    if body.filter is not None:
        condition["filter"] = filter_text(body.filter)
    condition |= whose_of(body.tenant)
    if body.max_nprobe is not None:
        if not condition or served.index.spec.partition is None:
            raise UsageError(
                "max_nprobe: without a filter or tenant, and lists, it has no effect; leave it out"
            )
        condition["max_nprobe"] = body.max_nprobe
    return condition


def whose_of(tenant: str | None) -> dict[str, Any]:
    """The argument `tenant` of methods of an index; nothing where the request says none."""
    return {} if tenant is None else {"tenant": check_unicode(tenant)}


def check_k(body: SearchRequest, settings: ServerSettings) -> int:
    """Hits of a query. Raises RequestRefusedError."""
    if body.k > settings.max_k:
        raise unfit(f"k is {body.k}, but this server gives at most {settings.max_k} hits (--max-k)")
    return body.k


def unfit(detail: str) -> RequestRefusedError:
    """A body whose fields are of the right types and still cannot be used."""
    return RequestRefusedError(detail, 422, "fields")


def unpacked(packed: Packed | PackedTokens) -> np.ndarray:
    """The array of a packed one. Raises InputError, DimensionError."""
    dtype = np.dtype(packed.dtype).newbyteorder("<")
    try:
        data = base64.b64decode(packed.data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InputError(f"data is no base64 ({exc})") from exc
    expected = math.prod(packed.shape) * dtype.itemsize
    if len(data) != expected:
        raise DimensionError(
            f"data has {len(data)} bytes, but shape {packed.shape} of {packed.dtype} takes {expected}"
        )
    return np.frombuffer(data, dtype=dtype).reshape(packed.shape).astype(packed.dtype, copy=False)


def _rows(vectors: list[list[float]]) -> np.ndarray:
    lengths = {len(row) for row in vectors}
    if len(lengths) > 1:
        raise DimensionError(f"vectors have {min(lengths)} to {max(lengths)} numbers; all need the same")
    with np.errstate(over="ignore"):  # infinity is refused by the search
        return np.array(vectors, dtype=np.float64).astype(np.float32)


def _tokens(packed: PackedTokens, served: Served, most: int) -> Queries:
    if not served.several_vectors:
        raise UsageError(f"{served.name!r} stores one vector a document; send vectors or vectors_b64")
    rows, lengths = unpacked(packed), packed.lengths
    if sum(lengths) != len(rows):
        raise DimensionError(f"lengths add up to {sum(lengths)}, but there are {len(rows)} token vectors")
    _check_number(len(lengths), most)
    _check_dim(rows, served)
    return Queries(np.ascontiguousarray(rows, dtype=np.float32), np.array(lengths, dtype=np.int64))


def _check_number(n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise unfit(f"{n} rows, but this server takes 1 to {most} of them (--max-queries)")


def _check_dim(rows: np.ndarray, served: Served) -> None:
    if rows.shape[1] != served.index.dim:
        raise DimensionError(
            f"{served.name!r} has dim {served.index.dim}, but the queries have dim {rows.shape[1]}; encode "
            "them with the model that made the index"
        )
