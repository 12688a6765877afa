"""Embedding compression and retrieval indexing by clustering.

The public names; each is imported when it is first used, so that `import cluscomp` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cluscomp import errors as errors
from cluscomp.errors import *  # noqa: F403 - so that type checkers see every error by name

__version__ = "0.2.0.dev0"

_PUBLIC = {
    "assign": "cluscomp.clustering.assign",
    "KMeans": "cluscomp.clustering.kmeans",
    "train_kmeans": "cluscomp.clustering.kmeans",
    "KMedoids": "cluscomp.clustering.medoids",
    "dissimilarities": "cluscomp.clustering.dissimilarities",
    "sinkhorn": "cluscomp.clustering.transport.sinkhorn",
    "sinkhorn_points": "cluscomp.clustering.transport.sinkhorn",
    "BalancedKMeans": "cluscomp.clustering.balanced.kmeans",
    "balanced_assign": "cluscomp.clustering.balanced.assign",
    "balance_report": "cluscomp.clustering.balanced.report",
    "SphericalKMeans": "cluscomp.clustering.spherical",
    "HierarchicalKMeans": "cluscomp.clustering.hierarchical",
    "KMeansTree": "cluscomp.clustering.hierarchical_tree",
    "hierarchical_identifiers": "cluscomp.clustering.identifiers",
    "PrefixTree": "cluscomp.clustering.prefix_tree",
    "Ward": "cluscomp.clustering.ward_estimator",
    "balanced_sample": "cluscomp.clustering.hierarchical",
    "ProductQuantizer": "cluscomp.quantization.product",
    "LearnedCodec": "cluscomp.quantization.learned",
    "AnyIndex": "cluscomp.indexes.any_index",
    "Index": "cluscomp.indexes.index",
    "MultiVectorIndex": "cluscomp.indexes.multivector.index",
    "SparseIndex": "cluscomp.indexes.sparse.index",
    "SeismicIndex": "cluscomp.indexes.sparse.clustered_index",
    "HybridIndex": "cluscomp.indexes.hybrid.index",
    "HybridRows": "cluscomp.terms",
    "index_factory": "cluscomp.indexes.factory",
    "open_index": "cluscomp.indexes.index",
    "Attributes": "cluscomp.attributes.table",
    "Field": "cluscomp.attributes.schema",
    "Mask": "cluscomp.indexes.filters.given",
    "SearchInfo": "cluscomp.indexes.filters.info",
    "parse_filter": "cluscomp.attributes.reading",
    "build_index": "cluscomp.indexes.build",
    "plan_build": "cluscomp.indexes.build",
    "plan_scale": "cluscomp.indexes.build",
    "load_encoder": "cluscomp.encoders",
    "merge_adapters": "cluscomp.lora.merge",
    "merge_indexes": "cluscomp.indexes.merging",
    "convert_index": "cluscomp.indexes.conversion",
    "verify_index": "cluscomp.indexes.verify",
    "fde_encode": "cluscomp.multivector.fde",
    "maxsim": "cluscomp.multivector.maxsim",
    "pool_tokens": "cluscomp.multivector.pooling",
    "set_num_threads": "cluscomp.native",
    "get_num_threads": "cluscomp.native",
}

_ROOMS = ("distributed",)
"""Rooms whose names are used with that of the room in front."""

__all__ = ["__version__", "errors", *errors.__all__, *_PUBLIC]

if TYPE_CHECKING:
    from cluscomp import distributed as distributed
    from cluscomp.attributes.reading import parse_filter as parse_filter
    from cluscomp.attributes.schema import Field as Field
    from cluscomp.attributes.table import Attributes as Attributes
    from cluscomp.clustering.assign import assign as assign
    from cluscomp.clustering.balanced.assign import balanced_assign as balanced_assign
    from cluscomp.clustering.balanced.kmeans import BalancedKMeans as BalancedKMeans
    from cluscomp.clustering.balanced.report import balance_report as balance_report
    from cluscomp.clustering.dissimilarities import dissimilarities as dissimilarities
    from cluscomp.clustering.hierarchical import (
        HierarchicalKMeans as HierarchicalKMeans,
    )
    from cluscomp.clustering.hierarchical import (
        balanced_sample as balanced_sample,
    )
    from cluscomp.clustering.hierarchical_tree import KMeansTree as KMeansTree
    from cluscomp.clustering.identifiers import hierarchical_identifiers as hierarchical_identifiers
    from cluscomp.clustering.kmeans import KMeans as KMeans
    from cluscomp.clustering.kmeans import train_kmeans as train_kmeans
    from cluscomp.clustering.medoids import KMedoids as KMedoids
    from cluscomp.clustering.spherical import SphericalKMeans as SphericalKMeans
    from cluscomp.clustering.transport.sinkhorn import (
        sinkhorn as sinkhorn,
    )
    from cluscomp.clustering.transport.sinkhorn import (
        sinkhorn_points as sinkhorn_points,
    )
    from cluscomp.clustering.ward_estimator import Ward as Ward
    from cluscomp.encoders import load_encoder as load_encoder
    from cluscomp.indexes.any_index import AnyIndex as AnyIndex
    from cluscomp.indexes.build import build_index as build_index
    from cluscomp.indexes.build import plan_build as plan_build
    from cluscomp.indexes.build import plan_scale as plan_scale
    from cluscomp.indexes.conversion import convert_index as convert_index
    from cluscomp.indexes.factory import index_factory as index_factory
    from cluscomp.indexes.filters.given import Mask as Mask
    from cluscomp.indexes.filters.info import SearchInfo as SearchInfo
    from cluscomp.indexes.hybrid.index import HybridIndex as HybridIndex
    from cluscomp.indexes.index import Index as Index
    from cluscomp.indexes.index import open_index as open_index
    from cluscomp.indexes.merging import merge_indexes as merge_indexes
    from cluscomp.indexes.multivector.index import MultiVectorIndex as MultiVectorIndex
    from cluscomp.indexes.sparse.clustered_index import SeismicIndex as SeismicIndex
    from cluscomp.indexes.sparse.index import SparseIndex as SparseIndex
    from cluscomp.indexes.verify import verify_index as verify_index
    from cluscomp.lora.merge import merge_adapters as merge_adapters
    from cluscomp.multivector.fde import fde_encode as fde_encode
    from cluscomp.multivector.maxsim import maxsim as maxsim
    from cluscomp.multivector.pooling import pool_tokens as pool_tokens
    from cluscomp.native import get_num_threads as get_num_threads
    from cluscomp.native import set_num_threads as set_num_threads
    from cluscomp.quantization.learned import LearnedCodec as LearnedCodec
    from cluscomp.quantization.product import ProductQuantizer as ProductQuantizer
    from cluscomp.terms import HybridRows as HybridRows


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"cluscomp.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cluscomp' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
