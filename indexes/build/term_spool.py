"""Terms of all rows of a build, on disk in order of adding, while their names are still being collected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.indexes.segments.ids import TextIds
from cluscomp.indexes.storage.stream import ArrayStream
from cluscomp.terms import TermRows

STREAMS = {"lengths": "<i8", "numbers": "<i4", "weights": "<f4"}


class TermSpool:
    """Files terms.*.npy of a work folder. Numbers are those of first sight; `ranks` has the order of the
    names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, blocks: Iterator[tuple[Any, TermRows]]) -> Iterator[dict[str, Any]]:
        """Write blocks of ids and rows; after each says how many there are, and at the end everything.

        Facts: rows, postings, words (sum of all weights) and largest weight.
        """
        for name in STREAMS:  # of a build that was interrupted here
            self._path(name).unlink(missing_ok=True)
        streams = {name: ArrayStream(self._path(name), dtype, ()) for name, dtype in STREAMS.items()}
        try:
            yield from self._written(blocks, streams)
        finally:
            for stream in streams.values():
                stream.close()

    def _written(
        self, blocks: Iterator[tuple[Any, TermRows]], streams: dict[str, ArrayStream]
    ) -> Iterator[dict[str, Any]]:
        places: dict[str, int] = {}
        ids: list[Any] = []
        facts: dict[str, Any] = {"rows": 0, "postings": 0, "words": 0.0, "largest": 0.0}
        for names, rows in blocks:
            used, local = np.unique(rows.numbers, return_inverse=True)
            own = np.array(
                [places.setdefault(rows.names[i], len(places)) for i in used.tolist()], dtype=np.int64
            )
            streams["lengths"].append(np.diff(rows.offsets))
            streams["numbers"].append(own[local])
            streams["weights"].append(rows.weights)
            ids += [] if names is None else list(names)
            facts["rows"] += len(rows)
            facts["postings"] += len(rows.numbers)
            facts["words"] += float(rows.totals.sum())
            facts["largest"] = max(facts["largest"], float(rows.weights.max(initial=0)))
            yield facts
        for stream in streams.values():
            stream.finish()
        self._write_names(list(places), ids)

    def _write_names(self, names: list[str], ids: list[Any]) -> None:
        order = sorted(range(len(names)), key=names.__getitem__)
        ranks = np.empty(len(names), dtype=np.int32)
        ranks[order] = np.arange(len(names), dtype=np.int32)
        table = TextIds.from_texts([names[i] for i in order])
        for name, array in {"ranks": ranks, "names": table.blob, "name_offsets": table.offsets}.items():
            np.save(self._path(name), array, allow_pickle=False)
        (self._folder / "terms.ids.json").write_text(json.dumps(ids), encoding="utf-8")

    def is_there(self) -> bool:
        """Whether all was written."""
        return (self._folder / "terms.ids.json").is_file()

    @property
    def ids(self) -> list[Any]:
        """Ids of the rows, where they came with them."""
        found: list[Any] = json.loads((self._folder / "terms.ids.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def table(self) -> TextIds:
        """Names of all terms, ascending."""
        return TextIds(self._array("names"), self._array("name_offsets"))

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where the terms of each row begin, (n + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self._array("lengths"))]).astype(np.int64)

    @cached_property
    def _ranks(self) -> np.ndarray:
        return np.asarray(self._array("ranks"))

    @cached_property
    def _names(self) -> list[str]:
        names: list[str] = self.table.take(np.arange(len(self.table))).tolist()
        return names

    def row_counts(self, block: int = 1 << 20) -> np.ndarray:
        """Rows (len(table),) int64 that hold each term."""
        counts, numbers = np.zeros(len(self.table), dtype=np.int64), self._array("numbers")
        for start in range(0, len(numbers), block):
            counts += np.bincount(self._ranks[numbers[start : start + block]], minlength=len(counts))
        return counts

    def read(self, rows: slice) -> TermRows:
        """Some of the rows, their terms ascending by name."""
        offsets = self.offsets[rows.start : rows.stop + 1]
        part = slice(int(offsets[0]), int(offsets[-1]))
        numbers, weights = self._ranks[self._array("numbers")[part]], self._array("weights")[part]
        owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((numbers, owners))
        return TermRows(self._names, offsets - offsets[0], numbers[order], np.asarray(weights[order]))

    def _path(self, name: str) -> Path:
        return self._folder / f"terms.{name}.npy"

    def _array(self, name: str) -> np.ndarray:
        array: np.ndarray = np.load(
            self._path(name), mmap_mode=None if name != "numbers" and name != "weights" else "r"
        )
        return array
