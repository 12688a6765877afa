"""Text encoders. torch and sentence-transformers are imported when an encoder is loaded, not before."""

from cluscomp.cache import cache_dir
from cluscomp.encoders.base import Encoder, EncoderInfo, MultiVectorEncoder, check_same_encoder
from cluscomp.encoders.cache import encode_cached, encode_to_file
from cluscomp.encoders.load import load_encoder
from cluscomp.encoders.token_cache import encode_tokens_cached

__all__ = [
    "Encoder",
    "EncoderInfo",
    "MultiVectorEncoder",
    "cache_dir",
    "check_same_encoder",
    "encode_cached",
    "encode_to_file",
    "encode_tokens_cached",
    "load_encoder",
]
