"""What a build in shards was asked for, as JSON, so that other processes open the same source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cluscomp import checks, errors
from cluscomp.indexes.build.described import BuildAttributes
from cluscomp.indexes.build.recipe import recipe_of
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.run import build_settings
from cluscomp.indexes.build.source import Given, TextInput
from cluscomp.indexes.kind import kind_of
from cluscomp.objects.address import is_address, local_path, parse_address

if TYPE_CHECKING:
    from cluscomp.indexes.keys.specs import IndexSpec


@dataclass(frozen=True)
class BuildArguments:
    """Arguments of `build_index` that JSON can hold. Paths are absolute. encoder: its description, by which
    it is loaded again. attribute_kinds: a schema as JSON.
    """

    source: str
    index_key: str
    metric: str = "ip"
    seed: int = 0
    max_train_rows: int | None = None
    max_memory: int | str | None = None
    encoder: dict[str, Any] | None = None
    ids: str | None = None
    lengths: str | None = None
    columns: dict[str, str] | None = None
    store_texts: bool = False
    empty_documents: str = "fail"
    cache: bool = True
    attributes: str | None = None
    attributes_from: str | None = None
    attribute_kinds: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @property
    def paths(self) -> list[str]:
        """All that steps read."""
        return [path for path in (self.source, self.ids, self.lengths, self.attributes) if path is not None]

    def request(self, encoder: Any = None) -> Request:
        """Open the source. encoder: if it is loaded already.

        Raises what `build_index` raises for arguments and sources.
        """
        settings = build_settings(
            self.index_key, self.metric, self.seed, self.max_train_rows, self.max_memory
        )
        kinds = self._kinds()
        described = BuildAttributes.of(self.attributes, self.attributes_from, self.source, kinds)
        given = self._given(settings["spec"], self._encoder() if encoder is None else encoder)
        source = recipe_of(settings["spec"]).open(settings["spec"], given)
        if self.store_texts and not isinstance(source, TextInput):
            raise errors.UsageError(
                "store_texts needs a corpus of texts and an encoder; vectors have no texts"
            )
        return Request(
            **settings, store_texts=self.store_texts, source=source, cache=self.cache, described=described
        )

    def _given(self, spec: IndexSpec, encoder: Any) -> Given:
        if kind_of(spec).ragged and encoder is None:
            from cluscomp.inputs.ragged import open_ragged

            rows, lengths, ids = open_ragged(self.source, self.lengths, self.ids, columns=self.columns)
            return Given(rows, None, ids, lengths, self.empty_documents)
        if self.lengths is not None:
            raise errors.UsageError("lengths belong to token vectors and keys with a pool")
        return Given(self.source, encoder, self.ids, None, self.empty_documents, self.columns)

    def _kinds(self) -> Mapping[str, Any] | None:
        from cluscomp.attributes import Schema

        return None if self.attribute_kinds is None else Schema.from_json(self.attribute_kinds)

    def _encoder(self) -> Any:
        if self.encoder is None:
            return None
        from cluscomp.distributed.recorded_encoder import load_recorded

        return load_recorded(self.encoder)


def require_shared(*values: Any) -> None:
    """Raise UsageError for an address in the memory of this process, which others do not see."""
    for value in values:
        if is_address(value) and parse_address(value).scheme == "memory":
            raise errors.UsageError(
                f"{value} is in the memory of this process, which those of a Ray cluster do not see; use an "
                "object store or a folder that they share"
            )


def path_text(name: str, value: Any) -> str:
    """An absolute path, or an address. Raises UsageError for other values: steps run in other processes."""
    if not isinstance(value, (str, os.PathLike)):
        raise errors.UsageError(
            f"{name} is a {type(value).__name__}, but steps of a build in shards may run in other processes "
            "and read files; save it to one, and pass its path"
        )
    path = checks.path(name, value)
    return str(value) if is_address(value) else os.path.abspath(local_path(path))
