"""Indexes as tools of language models: the Model Context Protocol over standard input and output."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluscomp import checks
from cluscomp.encoders.remembered import encodes_texts, remembered_encoder
from cluscomp.errors import CluscompError, IncompleteResultsWarning, UsageError, require
from cluscomp.server.encoding import as_queries
from cluscomp.server.registry import Registry
from cluscomp.server.served import Served
from cluscomp.server.shown import as_json

MAX_K = 100
MAX_IDS = 100
MAX_QUERY = 16_384
"""Characters of a query."""
TEXT_CHARS = 1000
"""Characters of each text that a search shows: a model reads all of them."""
WHY = "`cluscomp serve --mcp`"


class IndexTools:
    """The tools `search` and `get` over indexes; nothing can be changed by them.

    folders: name -> index folder. root: a folder of more of them. encoder: whether texts are encoded, so
    that they can be searched for.

    A newer state of a folder is taken up before each call. Raises IndexFolderError, UsageError (an index of
    tenants), and what encoders raise.
    """

    def __init__(self, folders: dict[str, Path], *, root: Path | None = None, encoder: bool = True) -> None:
        self._registry = Registry(folders, root=root)
        self._encoder, self._models = encoder, dict[str, Any]()
        self._lock = threading.Lock()  # of the encoders
        for served in self._registry.open_states():
            _require_no_tenants(served)
            if encoder and encodes_texts(served.index.encoder):
                self._model(served)

    def search(
        self,
        query: str,
        k: int = 5,
        index: str | None = None,
        filter: str | None = None,
        max_chars: int = TEXT_CHARS,
    ) -> dict[str, Any]:
        """Find the documents that answer a text best.

        Args:
            query: what to look for, in words.
            k: documents, 1 to 100.
            index: name of the index; not needed where there is one.
            filter: condition on attributes, such as "year >= 2020 and lang in ('en', 'de')".
            max_chars: characters of each text to show; 0 for none.

        Returns:
            index, rows, and hits, best first: id, score, and title, text and attributes where there are some;
            text_is_cut where the text goes on, which `get` shows.
        """
        served = self._served(index)
        checks.integer("k", k, 1, MAX_K)
        checks.integer("max_chars", max_chars, 0)
        if not query.strip() or len(query) > MAX_QUERY:
            raise UsageError(f"query must have 1 to {MAX_QUERY} characters, but has {len(query)}")
        scores, ids = self._found(served, query, k, filter)
        names = [str(one) for one in ids]
        records = served.records(names, {})
        hits = [
            {"id": name, "score": round(score, 6), **_shown(records[name], max_chars)}
            for name, score in zip(names, scores, strict=True)
            if name in records
        ]
        return {"index": served.name, "rows": len(served.index), "hits": hits}

    def get(self, ids: list[str], index: str | None = None) -> dict[str, Any]:
        """Show documents whole.

        Args:
            ids: at most 100, as `search` gave them.
            index: name of the index; not needed where there is one.

        Returns:
            index, documents (id, and title, text and attributes where there are some), and missing: ids that
            the index does not have.
        """
        served = self._served(index)
        if not 1 <= len(ids) <= MAX_IDS:
            raise UsageError(f"ids must be 1 to {MAX_IDS}, but there are {len(ids)}")
        wanted = list(dict.fromkeys(ids))
        records = served.records(wanted, {})
        documents = [{"id": name, **_shown(records[name], None)} for name in wanted if name in records]
        return {
            "index": served.name,
            "documents": documents,
            "missing": [name for name in wanted if name not in records],
        }

    def about(self) -> str:
        """What a model is told of the indexes."""
        lines = [
            f"- {served.name}: {len(served.index)} documents"
            + ("" if not served.index.attribute_schema else f"; attributes: {_columns(served)}")
            for served in self._registry.open_states()
        ]
        others = sorted(set(self._registry.names()) - {one.name for one in self._registry.open_states()})
        lines += [f"- {name}" for name in others]
        return "Searches of documents. Indexes:\n" + "\n".join(lines)

    # ---- inside ----

    def _served(self, name: str | None) -> Served:
        names = self._registry.names()
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            raise UsageError(f"index must be one of {', '.join(names)}, but is {name!r}")
        self._registry.refresh(name)
        served = self._registry.current(name)
        _require_no_tenants(served)
        return served

    def _found(self, served: Served, query: str, k: int, condition: str | None) -> tuple[Any, Any]:
        if not self._encoder:
            raise UsageError("the server runs without encoders (--no-encoder), so there is only get")
        with self._lock:
            queries = as_queries(self._model(served).encode_queries([query]))
        more = {} if queries.lengths is None else {"lengths": queries.lengths}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteResultsWarning)
            index: Any = served.index
            scores, ids = index.search(queries.vectors, k, k_beyond="clip", filter=condition, **more)
        there = scores[0] > -float("inf")
        return scores[0][there].tolist(), ids[0][there].tolist()

    def _model(self, served: Served) -> Any:
        info = served.index.encoder
        name = str(None if info is None else info.get("fingerprint"))
        if name not in self._models:
            self._models[name] = remembered_encoder(info, None, "get shows its documents by id")
        return self._models[name]


def require_packages() -> None:
    """Raise OptionalDependencyError unless the package `mcp` is installed."""
    require("mcp.server.mcpserver", extra="mcp", why=WHY)


def run_mcp(tools: IndexTools, version: str) -> None:
    """Answer requests on standard input until it ends. Raises OptionalDependencyError."""
    module = require("mcp.server.mcpserver", extra="mcp", why=WHY)
    types = require("mcp_types", extra="mcp", why=WHY)
    server = module.MCPServer("cluscomp", instructions=tools.about(), version=version, log_level="WARNING")
    hints = types.ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    for tool in (tools.search, tools.get):
        server.add_tool(_told(tool, module.exceptions.ToolError), annotations=hints)
    server.run("stdio")


def _told(tool: Callable[..., dict[str, Any]], told_error: type[Exception]) -> Callable[..., dict[str, Any]]:
    """The tool, whose errors the model reads."""

    @functools.wraps(tool)
    def told(*arguments: Any, **settings: Any) -> dict[str, Any]:
        try:
            return tool(*arguments, **settings)
        except CluscompError as exc:
            raise told_error(str(exc)) from exc

    return told


def _shown(record: Any, max_chars: int | None) -> dict[str, Any]:
    """Title, text and attributes of a record, those that there are. max_chars: None for the whole text."""
    found: dict[str, Any] = {}
    if record.title:
        found["title"] = record.title
    if record.text is not None and max_chars != 0:
        found["text"] = record.text if max_chars is None else record.text[:max_chars]
        if len(found["text"]) < len(record.text):
            found["text_is_cut"] = True
    if record.attributes:
        found["attributes"] = as_json(record.attributes)
    return found


def _columns(served: Served) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in served.index.attribute_schema.kinds.items())


def _require_no_tenants(served: Served) -> None:
    if served.index.attribute_schema.tenant is not None:
        raise UsageError(
            f"the index {served.name!r} holds documents of tenants, and a model must not choose whose it "
            "reads; serve one folder a tenant"
        )
