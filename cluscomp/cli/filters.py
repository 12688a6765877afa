"""Flags that say which rows a command means, and where attributes of rows come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cluscomp import errors
from cluscomp.cli.common import flag

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

Filter = Annotated[
    str | None,
    flag("--filter", help="Condition on attributes, such as \"year >= 2020 and lang == 'en'\".", env=False),
]
Tenant = Annotated[str | None, flag("--tenant", help="Whose rows, where the index has a tenant column.")]
AllTenants = Annotated[bool, flag("--all-tenants", help="The rows of all tenants.", env=False)]
MaxNprobe = Annotated[
    int | None, flag("--max-nprobe", help="Lists that a search with --filter visits at most.", min=1)
]
Attributes = Annotated[
    Path | None,
    flag("--attributes", help="Attributes of rows: .parquet, or .jsonl, an object a line.", env=False),
]
AttributesFrom = Annotated[
    Literal["metadata"] | None,
    flag("--attributes-from", help="Take what --corpus has under 'metadata' as attributes.", env=False),
]
AttributesNew = Annotated[
    bool, flag("--attributes-new", help="There may be attributes that the index does not have.", env=False)
]
AttributeKinds = Annotated[
    str | None,
    flag(
        "--attribute-kinds",
        help="Kinds that cannot be told from the values: seen=timestamp, owner=tenant.",
        env=False,
        metavar="NAME=KIND,...",
    ),
]
TENANT = "tenant"


def filter_options(
    index: AnyIndex, filter: str | None, tenant: str | None, all_tenants: bool, max_nprobe: int | None
) -> dict[str, Any]:
    """Keyword arguments of index.search for the flags that were given. Raises UsageError."""
    from cluscomp.attributes import parse_filter, require_fit

    options: dict[str, Any] = tenant_options(tenant, all_tenants)
    if filter is not None:
        require_fit(parse_filter(filter), index.attribute_schema)
        options["filter"] = filter
    if max_nprobe is not None:
        if not options or index.spec.partition is None:
            raise errors.UsageError(
                "--max-nprobe limits the lists that a search with --filter or --tenant visits; it has no "
                f"effect without one of them, nor on a key without lists ({index.key!r}): leave it out"
            )
        options["max_nprobe"] = max_nprobe
    return options


def tenant_options(tenant: str | None, all_tenants: bool) -> dict[str, Any]:
    """The argument `tenant` for the flags that were given; nothing for none."""
    if tenant is not None and all_tenants:
        raise errors.UsageError("--tenant and --all-tenants contradict each other; pass one")
    return {"tenant": tenant} if tenant is not None or all_tenants else {}


def parse_kinds(text: str | None) -> dict[str, Any]:
    """Fields by name of "seen=timestamp,owner=tenant". Raises UsageError, UnknownKeyError."""
    from cluscomp.attributes import Field, Schema

    kinds: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        name, equals, kind = (piece.strip() for piece in part.rpartition("="))
        if not equals or not name or not kind:
            raise errors.UsageError(f"--attribute-kinds is {text!r}; write NAME=KIND,..., such as x=text")
        kinds[name] = Field("text", tenant=True) if kind == TENANT else kind
    return dict(Schema.of(kinds))
