"""What the package offers: its public functions and classes, and the public methods of the latter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import cluscomp


def public_classes() -> Iterator[tuple[str, type]]:
    """(name, class) of the public classes that are no errors or warnings."""
    for name in cluscomp.__all__:
        found = getattr(cluscomp, name)
        if inspect.isclass(found) and not issubclass(found, Exception):
            yield name, found


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """(dotted name, function) of the public functions, and of the public methods of the public classes."""
    for name in cluscomp.__all__:
        if inspect.isfunction(found := getattr(cluscomp, name)):
            yield name, found
    for name, kind in public_classes():
        for attribute in dir(kind):
            member = inspect.getattr_static(kind, attribute)
            member = getattr(member, "__func__", member)
            if inspect.isfunction(member) and attribute[0] != "_":
                yield f"{name}.{attribute}", member
