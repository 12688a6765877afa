"""Collections for the demo, made without a network."""

from cluscomp.demo.package_collection import PackageCollectionInfo, build_package_collection
from cluscomp.demo.stdlib_collection import CollectionInfo, build_stdlib_collection

__all__ = ["CollectionInfo", "PackageCollectionInfo", "build_package_collection", "build_stdlib_collection"]
