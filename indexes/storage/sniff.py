"""Recognising what is not ours: git-LFS pointers, other tools' index files and folders."""

from __future__ import annotations

import re
import stat
from pathlib import Path

LFS_PREFIX = b"version https://git-lfs.github.com/spec/"
MAGICS = (
    (b"\x93NUMPY", "a NumPy .npy array; build an index from it with build-index --embeddings"),
    (b"PAR1", "a Parquet file; build an index from it with build-index --embeddings or --corpus"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"ARROW1", "an Arrow file"),
    (b"PK\x03\x04", "a zip archive (.npz, torch checkpoint or other)"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"\x80\x04", "a Python pickle, which is never read"),
    (b"\x80\x05", "a Python pickle, which is never read"),
)
# First four bytes of the files that faiss.write_index makes (faiss/impl/index_write.cpp).
FAISS_FOURCC = re.compile(rb"I[xwHNvlRBsa2][A-Za-z0-9]{2}")
# A folder is taken for a tool's when all files of a line are there; patterns as pathlib.glob.
FOLDERS = (
    (("bucket_cutoffs.npy", "centroids.npy"), "a fast-plaid index"),
    (("plan.json", "centroids.pt"), "a ColBERT PLAID index"),
    (("*.codes.pt", "*.residuals.pt"), "a ColBERT PLAID index"),
    (("index", "docid"), "a pyserini faiss index"),
    (("_versions",), "a Lance dataset"),
    (("chroma.sqlite3",), "a Chroma database"),
    (("corpus.jsonl",), "a BEIR corpus; build an index from it with build-index --corpus"),
    (("modules.json",), "a sentence-transformers model"),
    (("dataset_info.json",), "a datasets folder"),
    (("*.faiss",), "a folder with a faiss index"),
)


def is_lfs_pointer(head: bytes) -> bool:
    """True if a file that begins with `head` is a git-LFS pointer: the data was never downloaded."""
    return head.startswith(LFS_PREFIX)


def describe_file(head: bytes) -> str:
    """What a file that begins with `head` (at least 64 bytes, if it has them) seems to be."""
    if is_lfs_pointer(head):
        return "a git-LFS pointer; fetch the data with: git lfs pull"
    for magic, name in MAGICS:
        if head.startswith(magic):
            return name
    if FAISS_FOURCC.fullmatch(head[:4]):
        return f"a faiss index (fourcc {head[:4].decode()}); read it with faiss.read_index"
    return "no cluscomp index"


def describe_folder(folder: Path) -> str | None:
    """What a folder without a manifest of ours seems to be, or None for nothing known."""
    for patterns, name in FOLDERS:
        if all(next(folder.glob(pattern), None) is not None for pattern in patterns):
            return name
    return None


def read_head(path: Path, n_bytes: int = 64) -> bytes:
    """First bytes of a regular file; empty for anything else, so that a pipe cannot block."""
    if not stat.S_ISREG(path.stat().st_mode):
        return b""
    with path.open("rb") as file:
        return file.read(n_bytes)
