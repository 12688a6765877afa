"""One state of an index as it is served: never changed, and replaced as a whole by the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.records import Record
from cluscomp.inputs.ids import ids_of_kind
from cluscomp.vocabulary import Missing

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex


class Served:
    """An open index under its name.

    folder: where it lies. state: what the manifest was when it was opened (`folder_state`).
    """

    def __init__(self, name: str, folder: Path, index: AnyIndex, state: object) -> None:
        self.name, self.folder, self.index, self.state = name, folder, index, state
        self.generation: int = index.generation or 0
        self.ragged: bool = kind_of(index.spec).ragged
        self.terms: bool = kind_of(index.spec).terms
        self.both: bool = kind_of(index.spec).both
        dense: Any = index.spec
        self.several_vectors = kind_of(dense.dense).ragged if self.both else self.ragged
        self._made: dict[str, Any] = {}

    @property
    def has_texts(self) -> bool:
        """Whether the index stores titles and texts."""
        return self.index.has_texts

    @property
    def dense(self) -> Any:
        """The index of vectors: a side of a hybrid index."""
        index: Any = self.index
        return index.dense if self.both else index

    def records(
        self,
        ids: Sequence[str],
        whose: Mapping[str, Any],
        *,
        vectors: bool = False,
        missing: Missing = "ignore",
    ) -> dict[str, Record]:
        """What the index holds of ids, by id; blocks. whose: `tenant`, if one is said. vectors: whether also
        those. missing: "fail" or "ignore". Raises InputError for what is no id, or not there; UsageError
        where the index has a tenant column and no tenant is said.
        """
        wanted = ids_of_kind(ids, self.index.id_kind)
        found = self.index.get(wanted, missing=missing, vectors=vectors, **whose)
        names = ids if missing == "fail" else [str(one.id) for one in found]  # "007" asks for the id 7
        return dict(zip(names, found, strict=True))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `/v1/indexes/{name}` says; blocks when first asked."""
        index = self.index
        described = index.describe()
        encoder = index.encoder
        return {
            "name": self.name,
            "generation": self.generation,
            "rows": len(index),
            "key": index.key,
            "metric": index.metric,
            "dim": index.dim,
            "several_vectors": self.several_vectors,
            "encoder": None if encoder is None else encoder.get("name"),
            "has_texts": self.has_texts,
            "nlist": index.spec.nlist if index.spec.partition is not None else None,
            "columns": dict(index.attribute_schema.kinds),
            "tenant_column": index.attribute_schema.tenant,
            "search_defaults": index.search_defaults(),
            "bytes": described["bytes"]["total"],
            "bytes_per_document": described["bytes_per_document"],
            "code_bytes_per_document": index.code_bytes_per_document,
        }

    def once(self, what: str, make: Callable[[Served], Any]) -> Any:
        """What `make` gives of this state, kept for as long as it is served."""
        if what not in self._made:
            self._made[what] = make(self)
        return self._made[what]

    def joins_over_k(self) -> bool:
        """Whether the best k of a search are the first k of a search for more, bit for bit."""
        return self.index.spec.refine is None and not self.ragged and not self.both


def folder_state(folder: Path) -> object:
    """What changes with every commit and every replacement of an index folder. Raises OSError."""
    from cluscomp.indexes.storage.places import place_of

    return place_of(folder).state()


def open_served(name: str, folder: Path) -> Served:
    """Open an index for service; blocks. Raises IndexFolderError."""
    from cluscomp.indexes.index import open_index

    try:
        state: object = folder_state(folder)
    except OSError:
        state = None  # opening says what is wrong
    return Served(name, folder, open_index(folder), state)
