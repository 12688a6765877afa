"""Rows of weighted terms: words of texts, or the tokens of learned sparse vectors."""

from cluscomp.terms.bm25 import inverse_document_frequency, saturation
from cluscomp.terms.forms import as_term_rows
from cluscomp.terms.rows import TermRows
from cluscomp.terms.words import STOP_WORDS, split_words

__all__ = [
    "STOP_WORDS",
    "TermRows",
    "as_term_rows",
    "inverse_document_frequency",
    "saturation",
    "split_words",
]
