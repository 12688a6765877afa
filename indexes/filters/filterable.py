"""What every kind of index needs to search a part of its rows."""

from __future__ import annotations

from typing import Any

from cluscomp.attributes import Schema
from cluscomp.attributes.expressions import Comparison, comparison
from cluscomp.errors import UsageError
from cluscomp.indexes.filters.allowed import Allowed, allowed_rows, everything
from cluscomp.indexes.filters.answers import AnswerCache
from cluscomp.indexes.filters.cache import BitsCache
from cluscomp.indexes.filters.given import EVERYTHING, Given, given_filter, given_filters
from cluscomp.indexes.filters.searching import Scope
from cluscomp.indexes.segments.together import Together


class Unsaid:
    """Type of `UNSAID`: nobody has said whose rows a search may find."""

    def __repr__(self) -> str:
        return "UNSAID"

    def __reduce__(self) -> Any:
        return "UNSAID"


UNSAID = Unsaid()


class Filterable:
    """Base of `IndexContents`: schema of the attributes, and scopes of searches."""

    _schema: Schema
    _together: Together[Any]
    pipeline: Any
    _bits: BitsCache
    _answers: AnswerCache
    _id_kind: str | None

    @property
    def attribute_schema(self) -> Schema:
        """Kinds of the attributes by name, and which of them divides the rows among tenants."""
        return self._schema

    def segments_of(self, tenant: Any = UNSAID) -> tuple[Any, ...]:
        """Return the stored rows of a tenant.

        Args:
            tenant: whose rows, where the index has a tenant column; None: those of all.

        Returns:
            The segments of the index, in which rows of other tenants are marked as deleted.

        Raises:
            UsageError: no tenant was said.
        """
        return self._visible(tenant).segments

    def _scopes(self, together: Together[Any], filter: Any, tenant: Any, n_queries: int) -> list[Scope]:
        """Groups of queries with the rows that they may find.

        Raises UsageError, DTypeError, DimensionError.
        """
        owner = self._tenant_condition(tenant)
        return [
            Scope(queries, self._allowed(together, given.also(owner)))
            for given, queries in given_filters(filter, n_queries)
        ]

    def _allowed_by(self, together: Together[Any], filter: Any, tenant: Any) -> Allowed:
        """Rows that pass one filter, and belong to the tenant."""
        return self._allowed(together, given_filter(filter).also(self._tenant_condition(tenant)))

    def _visible(self, tenant: Any) -> Together[Any]:
        """The segments of now, in which rows of others than the tenant count as deleted: ids of theirs are
        not in the index. Raises UsageError where nobody has said whose rows are meant.
        """
        return self._allowed_by(self._together, None, tenant).together

    def _allowed(self, together: Together[Any], given: Given) -> Allowed:
        if given is EVERYTHING:
            return self._answers.found(together, "", lambda: everything(together), 0)

        def made() -> Allowed:
            return allowed_rows(together, given, self._schema, self._id_kind, self._bits)

        if not given.text:
            return made()
        return self._answers.found(together, given.text, made, self.pipeline.codec.row_bytes)

    def _tenant_condition(self, tenant: Any) -> Comparison | None:
        """What rows of a tenant have in common; None for rows of all. Raises UsageError."""
        name = self._schema.tenant
        if name is None:
            if tenant is not UNSAID and tenant is not None:
                raise UsageError(
                    f"tenant={tenant!r}, but no attribute of the index is a tenant column; leave it out, or "
                    "declare one with index.declare_attributes"
                )
            return None
        if tenant is UNSAID:
            raise UsageError(
                f"the rows of this index belong to tenants (attribute {name!r}); say whose are meant by "
                "tenant='...', or tenant=None for the rows of all"
            )
        return None if tenant is None else comparison("==", name, _tenant_text(tenant))


def _tenant_text(tenant: Any) -> str:
    if not isinstance(tenant, str):
        raise UsageError(f"tenant must be a text or None, but is {tenant!r}")
    return tenant
