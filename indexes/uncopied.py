"""Copies in other tools, where those have nothing alike: typed errors instead of missing methods."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from cluscomp.errors import UsageError


class Uncopied:
    """Base of indexes whose rows are no single vectors. rows_are: what they are, with the remedy."""

    rows_are: ClassVar[str]

    def to_faiss(self, **options: Any) -> NoReturn:
        """Refuse: an `Index` of single vectors has a copy in faiss, and this kind has none.

        Args:
            options: those of `Index`.

        Raises:
            UsageError: always; the message says what can be taken along.
        """
        self._refuse("faiss")

    def to_lance(self, **options: Any) -> NoReturn:
        """Refuse, as `to_faiss` does.

        Args:
            options: those of `Index`.

        Raises:
            UsageError: always.
        """
        self._refuse("Lance")

    def to_cuvs(self, **options: Any) -> NoReturn:
        """Refuse, as `to_faiss` does.

        Args:
            options: those of `Index`.

        Raises:
            UsageError: always.
        """
        self._refuse("cuVS")

    def _refuse(self, tool: str) -> NoReturn:
        raise UsageError(f"{tool} has no index like this one, whose rows are {self.rows_are}")
