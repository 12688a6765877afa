"""Quantization: product quantizers, scalar quantizers, and the linear transforms in front of them."""

from cluscomp.quantization.codes import code_usage_entropy, unpack_codes
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.quantization.linear import LinearTransform
from cluscomp.quantization.pca import train_pca
from cluscomp.quantization.product import ProductQuantizer
from cluscomp.quantization.rotation import random_rotation, train_opq
from cluscomp.quantization.scalar import ScalarQuantizer8

__all__ = [
    "LearnedCodec",
    "LinearTransform",
    "ProductQuantizer",
    "ScalarQuantizer8",
    "code_usage_entropy",
    "random_rotation",
    "train_opq",
    "train_pca",
    "unpack_codes",
]
