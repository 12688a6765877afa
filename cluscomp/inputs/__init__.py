"""Readers of documents, queries and vectors: streamed, checked, and refused by name when they are wrong."""

from cluscomp.inputs.corpus import (
    CorpusSize,
    Document,
    corpus_fingerprint,
    corpus_size,
    count_documents,
    iter_corpus,
)
from cluscomp.inputs.embeddings import ArraySource, VectorSource, open_embeddings, read_ids
from cluscomp.inputs.queries import Query, iter_queries

__all__ = [
    "ArraySource",
    "CorpusSize",
    "Document",
    "Query",
    "VectorSource",
    "corpus_fingerprint",
    "corpus_size",
    "count_documents",
    "iter_corpus",
    "iter_queries",
    "open_embeddings",
    "read_ids",
]
