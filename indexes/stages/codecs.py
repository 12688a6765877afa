"""Codecs: how rows are stored, and how stored rows are scored.

| codec  | bytes a row         | trained | codes of an IVF list                            |
|--------|---------------------|---------|-------------------------------------------------|
| Flat   | 4 d                 | no      | the rows                                        |
| SQfp16 | 2 d                 | no      | the rows                                        |
| SQ8    | d                   | yes     | the rows                                        |
| SQ4    | ceil(d / 2)         | yes     | residuals to the list's centroid                |
| PQ     | ceil(m * nbits / 8) | yes     | residuals to the list's centroid (IVFADC)       |

A codec has the attributes of `Codec` (codec.py). To add one: a spec in keys/specs.py, a form in grammar.py, a
class in row_codecs.py or product_codecs.py with the native scan it uses, a line in `CODECS`, and its faiss
counterpart in faiss_bridge.py.
"""

from __future__ import annotations

from collections.abc import Callable

from cluscomp.indexes.keys.grammar import PQ, SQ4, SQ8, CodecSpec, Flat, RepCONC, SQfp16
from cluscomp.indexes.stages.codec import Codec
from cluscomp.indexes.stages.product_codecs import FourBitCodec, LearnedProductCodec, ProductCodec
from cluscomp.indexes.stages.row_codecs import FloatCodec, ScalarCodec

CODECS: dict[type, Callable[..., Codec]] = {
    Flat: FloatCodec,
    SQfp16: FloatCodec,
    SQ8: ScalarCodec,
    SQ4: FourBitCodec,
    PQ: ProductCodec,
    RepCONC: LearnedProductCodec,
}


def make_codec(spec: CodecSpec, dim: int) -> Codec:
    """The untrained codec that a key part stands for."""
    return CODECS[type(spec)](spec, dim)
