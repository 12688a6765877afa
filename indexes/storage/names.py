"""Names of the files of an index. They come from contents: one name never stands for two things.

    pHEX.STAGE.NAME.npy   an array of a trained stage; HEX is the mark of all of them
    sHEX.ARRAY.npy        an array of a segment; HEX comes from the checksums of its arrays
    sHEX.attr.NAME.PART.npy  an array of an attribute; in NAME all but letters, digits and _ is -hh
    sHEX.docs.sqlite      titles and texts of its rows
    sHEX.delG.npy         its deleted rows as of generation G
    manifest.G.json       the manifest of generation G, while its files are kept

Formats 1 and 2 have STAGE.NAME.npy and segmentN.ARRAY.npy instead.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping

import numpy as np

from cluscomp.indexes.stages.pipeline import Pipeline

MARK = re.compile(r"[0-9a-f]{16}")
SEGMENT = re.compile(r"s[0-9a-f]{16}")
DRAFT = re.compile(r"\.tmp-[0-9]+-[0-9a-f]{16}")
_OF_CONTENTS = re.compile(
    r"p[0-9a-f]{16}\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+\.npy|manifest\.[0-9]+\.json"
    r"|s[0-9a-f]{16}((\.attr\.[A-Za-z0-9_-]+)?\.[A-Za-z0-9_]+\.npy|\.docs\.sqlite)"
)
_OF_OLD_FORMATS = re.compile(r"(segment[0-9]+|transform[0-9]+|partition|codec|refine)\.[A-Za-z0-9_]+\.npy")
_OBJECT = re.compile(r"[0-9a-f]{16}\.[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_OF_STAGE = re.compile(r"^p[0-9a-f]{16}\.")
_TEXTS_FILE = re.compile(r"s[0-9a-f]{16}\.docs\.sqlite")
_MARK_BYTES = 8
TEXTS = "docs.sqlite"
"""Name of the titles and texts among the files of a segment."""
OLD_TEXTS = "docs.sqlite"
"""File of the titles and texts of the first segment in formats 1 and 2."""


def is_of_contents(name: str) -> bool:
    """Whether a commit gives such names: such a file that no manifest knows is left over of a killed one."""
    return _OF_CONTENTS.fullmatch(name) is not None


def is_object_name(name: str) -> bool:
    """Whether it is a file of an index as object stores have it: digits of its checksum, and its name."""
    return _OBJECT.fullmatch(name) is not None


def may_be_retired(name: str) -> bool:
    """Whether a manifest may say that this file is to be removed one day."""
    old = name == OLD_TEXTS or _OF_OLD_FORMATS.fullmatch(name) is not None
    return old or is_of_contents(name) or is_object_name(name)


def draft_name() -> str:
    """Passing name of a file that is being written."""
    return f".tmp-{os.getpid()}-{secrets.token_hex(8)}"


def writer_of(draft: str) -> int:
    """Process that a passing name tells of."""
    return int(draft.split("-")[1])


def owner_of(name: str) -> tuple[str, str]:
    """Name of a file without ".npy", cut in two: segment (or pHEX, or stage), and array."""
    owner, _, array = name.partition(".")
    return owner, array.removesuffix(".npy")


def stage_file(mark: str, stage: str, array: str) -> str:
    """File name of an array of a trained stage. mark: as the manifest says it, empty for formats 1 and 2."""
    return f"p{mark}.{stage}.{array}.npy" if mark else f"{stage}.{array}.npy"


def without_mark(name: str) -> str:
    """STAGE.NAME.npy for a file of a trained stage, others as they are."""
    return _OF_STAGE.sub("", name)


def array_file(segment: str, array: str) -> str:
    """File name of an array of the segment of this name."""
    return f"{segment}.{array}.npy"


def deletions_file(segment: str, generation: int) -> str:
    """File name of the deleted rows of a segment as of a generation."""
    return f"{segment}.del{generation}.npy"


def texts_file(segment: str) -> str:
    """File name of the titles and texts of the rows of a segment."""
    return f"{segment}.{TEXTS}"


def is_texts_file(name: str) -> bool:
    """Whether a file holds titles and texts of the rows of a segment."""
    return name == OLD_TEXTS or _TEXTS_FILE.fullmatch(name) is not None


def is_deletions_file(name: str, segment: str) -> bool:
    """Whether a file may hold the deleted rows of a segment."""
    return re.fullmatch(rf"{re.escape(segment)}\.del[0-9]{{1,19}}\.npy", name) is not None


def manifest_file(generation: int) -> str:
    """File name of the manifest of an older generation."""
    return f"manifest.{generation}.json"


def trained_mark(pipeline: Pipeline) -> str:
    """16 hexadecimal digits, equal for equal trained arrays: BLAKE2b of the name, dtype, shape and bytes of
    each, in the order of the names.
    """
    digest = hashlib.blake2b(digest_size=_MARK_BYTES)
    arrays = {
        f"{stage_name}.{name}": np.ascontiguousarray(array, dtype=stage.parameter_specs[name].dtype)
        for stage_name, stage in pipeline.stages().items()
        for name, array in stage.parameters().items()
    }
    for name, array in sorted(arrays.items()):
        shape = ",".join(map(str, array.shape))
        digest.update(f"{name} {array.dtype.str} {shape}\n".encode())
        digest.update(memoryview(array.reshape(-1).view(np.uint8)))
    return digest.hexdigest()


def segment_name(checksums: Mapping[str, str], ids: str, first_id: int, copy: int = 0) -> str:
    """Name of a segment: "s" and BLAKE2b, 64 bits, of the SHA-256 of each array by its name, and of how ids
    are stored.

    copy: 1, 2 ... for a segment that is equal to another one in the same folder.
    """
    lines = [f"{name} {checksum}\n" for name, checksum in sorted(checksums.items())]
    text = "".join(lines) + f"{ids} {first_id}\n" + (f"{copy}\n" if copy else "")
    return "s" + hashlib.blake2b(text.encode(), digest_size=_MARK_BYTES).hexdigest()
