"""Indexes of weighted terms: words by BM25, and learned sparse vectors."""
