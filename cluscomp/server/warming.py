"""What is done with a new state of an index before it is served: its files are read, queries are searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import CluscompError, DimensionError, TooLargeError, UsageError
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.inputs.queries import iter_queries
from cluscomp.server.searching import Queries
from cluscomp.server.served import Served

NONE, TOUCH = "none", "touch"
MOST_QUERIES = 10_000
TEXT_FILES = (".jsonl", ".json", ".ndjson", ".tsv", ".txt")
_BLOCK = 1 << 20
_BATCH, _K = 64, 10
Encode = Callable[[Served, list[str]], Queries]


@dataclass(frozen=True)
class Warmup:
    """Files are read; texts, or vectors (n, dim), are searched after that."""

    texts: list[str] | None = None
    vectors: np.ndarray | None = None

    def warm(self, served: Served, encode: Encode) -> None:
        """Read and search; blocks. Raises DimensionError, and what encoding and searching raise."""
        touch(served.folder)
        queries = self._queries(served, encode)
        if queries is None:
            return
        index: Any = served.index
        options: dict[str, Any] = {} if index.attribute_schema.tenant is None else {"tenant": None}
        for start in range(0, queries.n, _BATCH):
            part = queries.part(start, min(start + _BATCH, queries.n))
            lengths = {} if part.lengths is None else {"lengths": part.lengths}
            index.search(part.vectors, _K, k_beyond="clip", **lengths, **options)

    def _queries(self, served: Served, encode: Encode) -> Queries | None:
        if self.texts is not None:
            return encode(served, self.texts)
        if self.vectors is None:
            return None
        if served.terms or self.vectors.shape[1] != served.index.dim:
            what = "weighted terms" if served.terms else f"dim {served.index.dim}"
            raise DimensionError(
                f"{served.name!r} has {what}, but the queries of --warmup have dim {self.vectors.shape[1]}; "
                "give a file of texts, which each index encodes for itself"
            )
        lengths = np.ones(len(self.vectors), dtype=np.int64) if served.ragged else None
        return Queries(self.vectors, lengths)


def read_warmup(value: str) -> Warmup | None:
    """What "none", "touch" or a file of queries asks for: texts (.jsonl, .tsv, .txt, also .gz) or vectors.

    Raises MissingInputError, MalformedFileError, TooLargeError, UsageError (neither word nor file).
    """
    if value == NONE:
        return None
    if value == TOUCH:
        return Warmup()
    path = Path(value)
    if not path.exists():
        raise UsageError(f"--warmup takes none, touch or a file of queries, and {value!r} is none of them")
    if path.is_dir() or path.name.removesuffix(".gz").endswith(TEXT_FILES):
        texts = [query.text for query in iter_queries(path)]
        _check_number(path, len(texts))
        return Warmup(texts=texts)
    source = open_embeddings(path)
    _check_number(path, source.n)
    return Warmup(vectors=source.read(0, source.n).astype(np.float32))


def _check_number(path: Path, n: int) -> None:
    if n > MOST_QUERIES:
        raise TooLargeError(
            f"{path} has {n} queries, but --warmup takes at most {MOST_QUERIES}; give the first of them"
        )


def touch(folder: Path) -> None:
    """Read all arrays of a folder once, so that searches find them in memory."""
    buffer = bytearray(_BLOCK)
    for path in sorted(folder.glob("*.npy")):
        try:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        except OSError as exc:
            raise CluscompError(f"cannot read {path}: {exc.strerror}") from exc
