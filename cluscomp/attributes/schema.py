"""Which attributes the rows of an index have: their kinds, and which divides the rows among tenants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cluscomp import checks
from cluscomp.errors import InputError, UsageError
from cluscomp.vocabulary import ATTRIBUTE_KINDS, AttributeKind

MAX_COLUMNS = 256
MAX_NAME_BYTES = 80


@dataclass(frozen=True)
class Field:
    """What is known of a column of attributes.

    Args:
        kind: "bool", "int64", "float64", "timestamp", "text" or "texts", which are lists of texts.
        tenant: whether the column says whose a row is; then each search has to say whose rows it wants.
    """

    kind: AttributeKind
    tenant: bool = False


@dataclass(frozen=True)
class Schema(Mapping[str, Field]):
    """Columns by name. A schema is never changed; `joined` makes another one."""

    fields: Mapping[str, Field]

    @classmethod
    def of(cls, kinds: Any) -> Schema:
        """The schema of {name: kind or Field}.

        Raises UsageError for what is none: a name that cannot be one, an unknown kind, too many columns, a
        tenant column that is not of text, or two of them.
        """
        if not isinstance(kinds, Mapping):
            raise UsageError(f"columns must be a dict of kinds by name, but is {kinds!r}")
        fields = {checked_name(name): _field(name, kind) for name, kind in kinds.items()}
        _require_few(len(fields))
        tenants = [name for name, field in fields.items() if field.tenant]
        if len(tenants) > 1:
            raise UsageError(f"columns {tenants[0]!r} and {tenants[1]!r} are both tenant columns; choose one")
        return cls(fields)

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __hash__(self) -> int:
        return hash(tuple(self.fields.items()))

    @cached_property
    def tenant(self) -> str | None:
        """Name of the tenant column, if there is one."""
        return next((name for name, field in self.fields.items() if field.tenant), None)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each column."""
        return {name: field.kind for name, field in self.fields.items()}

    def joined(self, other: Schema, *, new: bool) -> Schema:
        """The columns of both. new: whether `other` may have columns that this one lacks; a schema without
        any takes all.

        Raises InputError for columns that are new and may not be, and for one that is of another kind.
        """
        for name, field in other.items():
            if name in self and self[name].kind != field.kind:
                raise InputError(f"the attribute {name!r} is of {self[name].kind}, but here of {field.kind}")
        added = [name for name in other if name not in self]
        if added and len(self) and not new:
            known = ", ".join(self)
            raise InputError(
                f"the attribute {added[0]!r} is new ({len(added)} are); the index has: {known}"
                f"{checks.did_you_mean(added[0], self)}. Leave it out, or ask for new attributes "
                "(new_attributes=True, --attributes-new)"
            )
        fields = dict(self.fields)
        for name in added:
            fields[name] = replace(other[name], tenant=other[name].tenant and not len(self))
        _require_few(len(fields))
        return Schema(fields)

    def to_json(self) -> dict[str, Any]:
        """What a manifest keeps."""
        return {
            name: {"kind": field.kind, "tenant": True} if field.tenant else {"kind": field.kind}
            for name, field in self.fields.items()
        }

    @classmethod
    def from_json(cls, value: Any) -> Schema:
        """The schema that `to_json` gave. Raises UsageError for anything else."""
        if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
            raise UsageError("attributes must be a dict of dicts")
        return cls.of({
            name: Field(entry.get("kind"), bool(entry.get("tenant", False))) for name, entry in value.items()
        })  # fmt: skip


NO_COLUMNS = Schema({})


def checked_name(name: Any) -> str:
    """`name` if a column may have it: a text that is not blank, and not too long for the name of a file."""
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"the name of an attribute must be a text, but is {name!r}")
    if len(file_part(name)) > MAX_NAME_BYTES:
        raise UsageError(
            f"the name {name[:40]!r}... of an attribute takes {len(file_part(name))} bytes in the name of a "
            f"file, at most {MAX_NAME_BYTES} are possible; choose a shorter one"
        )
    return name


def file_part(name: str) -> str:
    """How a column is called in names of files: bytes other than letters, digits and _ as -hh."""
    try:
        return re.sub(rb"[^A-Za-z0-9_]", lambda found: b"-%02x" % found[0][0], name.encode()).decode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"the name {name!r} of an attribute is not valid Unicode ({exc})") from exc


def _field(name: str, kind: Any) -> Field:
    field = kind if isinstance(kind, Field) else Field(kind)
    checks.one_of(f"kind of the attribute {name!r},", field.kind, ATTRIBUTE_KINDS)
    if field.tenant and field.kind != "text":
        raise UsageError(f"the tenant column {name!r} is of kind {field.kind}, but must be of text")
    return field


def _require_few(n: int) -> None:
    if n > MAX_COLUMNS:
        raise UsageError(f"there are {n} attributes, at most {MAX_COLUMNS} are possible")
