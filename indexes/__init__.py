"""Indexes: key grammar, stages, segments, search, storage and the faiss bridge.

key.py            how a key is read           key_specs.py    what its parts stand for
index.py          Index, open_index           shadow.py       8-bit codes beside float rows
transforms.py     rotation, PCA               factory.py      index_factory
partitions.py     IVF, BIVF                   search.py       probe, scan, merge, rerank
codecs.py         how rows are stored         segment.py      what one add leaves behind
row_codecs.py     float, half, 8-bit          product_codecs.py  PQ, SQ4, learned codes
pipeline.py       the trained stages          ids.py          permanent ids
manifest.py       manifest.json               opening.py      reading a folder
folder.py         writing a folder            saving.py       which arrays a folder holds
writer.py         builds larger than memory   sizes.py        bytes before they are written
describe.py       bytes by part, balance      faiss_bridge.py the same index in faiss
pool_key.py       the pool of a key           multivector/    documents of several vectors
base.py           what both indexes are       stored.py       what both kinds of segment are
"""

from __future__ import annotations

from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import Index, open_index
from cluscomp.indexes.key import parse_key

__all__ = ["Index", "index_factory", "open_index", "parse_key"]
