"""A client of a server of `cluscomp serve`; needs httpx2 (pip install 'cluscomp[client]')."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np

from cluscomp.errors import RequestRefusedError, require
from cluscomp.terms import HybridRows, TermRows, as_term_rows


class Client:
    """Asks a server; use it as a context manager, or `close` it. Threads may share one.

    url: of the server. token: for reading, or for changing. timeout: seconds that an answer may take.
    Methods raise RequestRefusedError for every answer that is an error, and for none at all (status 0).
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8765", *, token: str | None = None, timeout: float = 30.0
    ) -> None:
        self._httpx = require("httpx2", extra="client", why="cluscomp.server.client.Client")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Proxies of the environment are for other hosts than one's own servers.
        limits = self._httpx.Limits(max_connections=None, max_keepalive_connections=32)
        self._client = self._httpx.Client(
            base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def indexes(self) -> list[dict[str, Any]]:
        """Facts of all open indexes."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/indexes")["indexes"]
        return found

    def index(self, name: str) -> dict[str, Any]:
        """Facts of one index."""
        return self._ask("GET", _path(name))

    def search(
        self, name: str, queries: Any, k: int, *, lengths: Any = None, **options: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (nq, k) float32 and ids (nq, k), text, as `Index.search` gives them; -inf and None where
        fewer were found. queries: vectors, with lengths those of all queries below each other; TermRows; of a
        hybrid index HybridRows, whose terms may be texts. options: as the fields of a search, such as nprobe.
        """
        answer = self.ask(name, **_forms(queries, lengths), k=k, **options)
        results = answer["results"]
        width = max((len(result["hits"]) for result in results), default=0)
        scores = np.full((len(results), width), -np.inf, dtype=np.float32)
        ids = np.full((len(results), width), None, dtype=object)
        for row, result in enumerate(results):
            for column, hit in enumerate(result["hits"]):
                scores[row, column], ids[row, column] = hit["score"], hit["id"]
        return scores, ids

    def ask(
        self,
        name: str,
        *,
        text: str | None = None,
        texts: Sequence[str] | None = None,
        vectors: Any = None,
        lengths: Any = None,
        terms: Any = None,
        k: int = 10,
        **options: Any,
    ) -> dict[str, Any]:
        """The whole answer to a search by one of text, texts, vectors and terms; of a hybrid index also by
        vectors beside one of the others. terms: mappings of terms to weights, or TermRows. options: also
        include.
        """
        body: dict[str, Any] = {"k": k, **options, **_fields(vectors, lengths, texts, terms)}
        if text is not None:
            body["text"] = text
        return self._ask("POST", f"{_path(name)}/search", body)

    def get(
        self,
        name: str,
        ids: Sequence[Any],
        include: Sequence[str] = ("text",),
        *,
        tenant: str | None = None,
    ) -> list[dict[str, Any]]:
        """Documents by id, in order. tenant: whose, where the index has a tenant column."""
        body: dict[str, Any] = {"ids": [str(one) for one in ids], "include": list(include)}
        if tenant is not None:
            body["tenant"] = tenant
        found: list[dict[str, Any]] = self._ask("POST", f"{_path(name)}/documents:get", body)["documents"]
        return found

    def put(
        self,
        name: str,
        ids: Sequence[Any],
        vectors: Any = None,
        *,
        texts: Any = None,
        lengths: Any = None,
        attributes: Sequence[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Add documents, or put them in the place of those that have their ids; needs the admin token.
        vectors: in the forms of the queries of `search`. texts: to be encoded, instead.
        """
        body: dict[str, Any] = {"ids": [str(one) for one in ids]}
        if attributes is not None:
            body["attributes"] = list(attributes)
        forms = {} if vectors is None else _forms(vectors, lengths)
        if texts is not None:
            forms["texts"] = texts
        body |= _fields(**forms)
        return self._ask("POST", f"{_path(name)}/documents", body)

    def delete(
        self,
        name: str,
        ids: Sequence[Any] | None = None,
        *,
        filter: Any = None,
        missing: str = "fail",
        tenant: str | None = None,
    ) -> dict[str, Any]:
        """Delete documents by id, or all that pass a filter; needs the admin token.

        tenant: whose, None for those of all.
        """
        body: dict[str, Any] = {"missing": missing}
        if ids is not None:
            body["ids"] = [str(one) for one in ids]
        if filter is not None:
            body["filter"] = filter
        if tenant is not None:
            body["tenant"] = tenant
        return self._ask("POST", f"{_path(name)}/documents:delete", body)

    def refresh(self, name: str) -> dict[str, Any]:
        """Serve the newest state of the folder at once; needs the admin token."""
        return self._ask("POST", f"{_path(name)}/refresh")

    def compact(self, name: str, **how: Any) -> dict[str, Any]:
        """Merge segments and drop deleted documents; needs the admin token. how: segments, dead."""
        return self._ask("POST", f"{_path(name)}/compact", how)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except self._httpx.HTTPError as exc:
            raise RequestRefusedError(
                f"no answer from {self._client.base_url}: {exc}", 0, "no-answer"
            ) from exc
        if answer.status_code >= 400:
            raise _refused(answer)
        found: dict[str, Any] = answer.json()
        return found


def _forms(queries: Any, lengths: Any) -> dict[str, Any]:
    """Queries as arguments of `ask`."""
    if isinstance(queries, TermRows):
        return {"terms": queries}
    if isinstance(queries, HybridRows):
        words = {"texts" if queries.are_texts else "terms": queries.terms}
        return {"vectors": queries.vectors, "lengths": queries.lengths, **words}
    return {"vectors": queries, "lengths": lengths}


def _fields(vectors: Any = None, lengths: Any = None, texts: Any = None, terms: Any = None) -> dict[str, Any]:
    """The fields of a body that queries or documents are."""
    fields: dict[str, Any] = {}
    if texts is not None:
        fields["texts"] = list(texts)
    if terms is not None:
        rows = as_term_rows(terms)
        fields["terms"] = [rows.mapping(row) for row in range(len(rows))]
    if vectors is not None and lengths is None:
        fields["vectors_b64"] = packed(np.atleast_2d(np.asarray(vectors)))
    elif vectors is not None:
        fields["tokens_b64"] = packed(np.asarray(vectors)) | {"lengths": np.asarray(lengths).tolist()}
    return fields


def packed(rows: np.ndarray) -> dict[str, Any]:
    """An array in the form of the field `vectors_b64`."""
    kept = rows if rows.dtype in (np.float16, np.float32, np.float64) else rows.astype(np.float32)
    little = np.ascontiguousarray(kept, dtype=kept.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": kept.dtype.name, "shape": list(kept.shape), "data": data}


def _path(name: str) -> str:
    return f"/v1/indexes/{quote(name, safe='')}"


def _refused(answer: Any) -> RequestRefusedError:
    try:
        problem = answer.json()
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        detail, code = f"status {answer.status_code}", "unknown"
    again = answer.headers.get("retry-after", "")
    return RequestRefusedError(detail, answer.status_code, code, int(again) if again.isdigit() else None)
