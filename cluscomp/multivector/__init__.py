"""Late interaction: ragged token vectors, pooling them to fewer vectors, and scores between them."""

from cluscomp.multivector.fde import fde_encode
from cluscomp.multivector.maxsim import maxsim
from cluscomp.multivector.pooling import pool_tokens
from cluscomp.multivector.ragged import Ragged, as_ragged
from cluscomp.multivector.support import support_errors, support_line, support_sample

__all__ = [
    "Ragged",
    "as_ragged",
    "fde_encode",
    "maxsim",
    "pool_tokens",
    "support_errors",
    "support_line",
    "support_sample",
]
