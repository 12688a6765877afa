"""Collections for the demo, made without a network."""

from cluscomp.demo.stdlib_collection import CollectionInfo, build_stdlib_collection

__all__ = ["CollectionInfo", "build_stdlib_collection"]
