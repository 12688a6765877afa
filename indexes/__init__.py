"""Indexes: key grammar, stages, segments, search, storage, builds and the faiss bridge.

    factory.py, index.py   index_factory, Index, open_index     faiss_bridge.py   the same index in faiss
    bridged.py             what Lance and cuVS get: lance_bridge.py, cuvs_bridge.py; uncopied.py: refusals
    build/                 indexes larger than memory, in stages that survive a kill
    multivector/           documents of several vectors         sparse/           weighted terms
    hybrid/                vectors and terms of the same documents, searched as one
    kind.py, kinds.py      what a kind of index is; single vectors, documents of several, terms
    base.py, contents.py   what every kind of index is: changes and folders; key, segments, settings
    attributed.py          attributes of the rows               filters/          which rows a search may find
    describe.py            bytes by part, balance of the lists  verify.py         all faults of a folder
    storage/               the folder: manifest, arrays, texts; written all at once, checked when opened
    segments/              what one add leaves behind: rows, ids, deletions; search over them
    stages/                what is trained: transforms, partitions, codecs, and the pipeline of a key
    keys/                  how a key is read, and what its parts stand for

Rooms further down do not know the rooms above them (tests/packaging/test_layers.py).
"""

from __future__ import annotations

from cluscomp.indexes import kinds as kinds
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import Index, open_index
from cluscomp.indexes.keys.grammar import parse_key

__all__ = ["Index", "index_factory", "open_index", "parse_key"]
