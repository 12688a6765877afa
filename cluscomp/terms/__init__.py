"""Rows of weighted terms, alone or beside vectors: words of texts, or tokens of learned sparse vectors."""

from cluscomp.terms.bm25 import inverse_document_frequency, saturation
from cluscomp.terms.forms import as_term_rows
from cluscomp.terms.hybrid import HybridRows
from cluscomp.terms.rows import TermRows
from cluscomp.terms.words import STEMS, STOP_WORDS, split_words

__all__ = [
    "STEMS",
    "STOP_WORDS",
    "HybridRows",
    "TermRows",
    "as_term_rows",
    "inverse_document_frequency",
    "saturation",
    "split_words",
]
