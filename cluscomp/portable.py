"""Objects that pickle and copy without their caches, which are made again at first use.

Native objects (packed codebooks, assigners, documents) cannot be pickled. They only repeat, in a form that
kernels read, what NumPy arrays beside them say.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from cluscomp import native


class Portable:
    """Mixin. caches: attributes that become None besides native objects, since they can be derived."""

    caches: ClassVar[tuple[str, ...]] = ()

    def __getstate__(self) -> dict[str, Any]:
        kind = type(self)
        return {
            name: None if name in self.caches else _without_native(value)
            for name, value in vars(self).items()
            if not isinstance(getattr(kind, name, None), cached_property)
        }


def _without_native(value: Any) -> Any:
    """None for a native object, an empty dict for a dict that holds some."""
    if native.is_native(value):
        return None
    if isinstance(value, dict) and any(native.is_native(item) for item in value.values()):
        return {}
    return value
