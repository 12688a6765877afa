"""Late interaction: ragged token vectors, pooling them to fewer vectors, and scores between them."""

from cluscomp.multivector.pooling import pool_tokens
from cluscomp.multivector.ragged import Ragged, as_ragged

__all__ = ["Ragged", "as_ragged", "pool_tokens"]
