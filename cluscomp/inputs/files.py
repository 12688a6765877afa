"""Opening input files: gzip by content, checked UTF-8 lines, and named refusals of foreign formats.

Every reader of this package goes through here, so that a git-LFS pointer, a truncated download or a file of
another format is reported by its name and with a remedy, never as a parse error deep inside.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO, cast

from cluscomp.errors import InputError, MalformedFileError, MissingInputError
from cluscomp.inputs.objects import local_input

MAX_LINE_BYTES = 1 << 28
"""A longer line is refused: one document of 256 MiB is a file without line ends, not a text."""

GZIP_MAGIC = b"\x1f\x8b"
LFS_MAGIC = b"version https://git-lfs"

# (first bytes, what the file is, what to do about it)
_FOREIGN = (
    (b"\x93NUMPY", "a NumPy .npy array", "name it .npy"),
    (
        b"PK\x03\x04",
        "a zip archive (.npz, .pt and .xlsx are such)",
        "name it .npz if it holds arrays, else unpack it",
    ),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"ARROW1", "an Arrow/Feather file", "write it as Parquet with pyarrow.parquet.write_table"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save its dataset with numpy.save"),
    (b"SQLite format 3\0", "an SQLite database", "export its table as .jsonl"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "decompress it with `zstd -d`"),
    (b"BZh", "bzip2-compressed", "decompress it with `bunzip2`"),
    (b"\xfd7zXZ\0", "xz-compressed", "decompress it with `xz -d`"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8 with `iconv -f UTF-16 -t UTF-8`"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8 with `iconv -f UTF-16 -t UTF-8`"),
    (
        b"\x80\x04\x95",
        "a Python pickle",
        "pickles can run code and are never read; export it with numpy.save",
    ),
    (
        b"\x80\x05\x95",
        "a Python pickle",
        "pickles can run code and are never read; export it with numpy.save",
    ),
)


def require_file(path: str | Path) -> Path:
    """Return `path` as a Path to an existing regular file that is no git-LFS pointer. Of an object of a
    store, it is the copy in the cache.

    Raises MissingInputError (with the nearest name in the same folder) or MalformedFileError.
    """
    path = local_input("path", path, lambda name: False)
    if path.is_dir():
        raise MalformedFileError(f"{path} is a folder, a file is needed here")
    if not path.exists():
        raise MissingInputError(f"{path} does not exist{_nearest_hint(path)}")
    _refuse_lfs_pointer(path)
    return path


def refuse_foreign(path: Path, wanted: str) -> None:
    """Raise MalformedFileError when the first bytes of `path` belong to another format than `wanted`."""
    head = _head(path)
    for magic, what, remedy in _FOREIGN:
        if head.startswith(magic) and _is_binary(head):
            raise MalformedFileError(f"{path} is {what}, but {wanted} is needed; {remedy}")


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for reading, through gzip when its content is gzip (whatever its name).

    Raises MalformedFileError for a `.gz` name without gzip content, and for damaged or truncated gzip data
    found while reading; InputError when the file cannot be read at all.
    """
    is_gzip = _head(path).startswith(GZIP_MAGIC)
    if path.suffix == ".gz" and not is_gzip:
        raise MalformedFileError(f"{path} is named .gz but is not gzip data; rename or compress it")
    try:
        with gzip.open(path, "rb") if is_gzip else path.open("rb") as handle:
            yield cast(BinaryIO, handle)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise MalformedFileError(
            f"{path}: gzip data is truncated or damaged ({exc}); fetch or compress the file again"
        ) from exc


def iter_raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end) in order; a byte order mark is dropped.

    Lines end at LF or CR LF only: other Unicode line breaks may stand inside a text.
    """
    with open_bytes(path) as handle:
        number = 0
        while raw := handle.readline(MAX_LINE_BYTES + 2):
            number += 1
            if len(raw.rstrip(b"\r\n")) > MAX_LINE_BYTES:
                raise MalformedFileError(
                    f"{path}:{number}: line is longer than {MAX_LINE_BYTES} bytes; is this one record a line?"
                )
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
                _refuse_bare_returns(path, raw)
            yield number, raw.removesuffix(b"\n").removesuffix(b"\r")


def _refuse_bare_returns(path: Path, line: bytes) -> None:
    """Raise MalformedFileError where the first line is the whole file and CR stands in it: those are its line
    ends, as old Macs wrote them.
    """
    if not line.endswith(b"\n") and b"\r" in line.rstrip(b"\r"):
        raise MalformedFileError(
            f"{path} has CR line ends, which would make one long line of it; convert it with "
            "`tr '\\r' '\\n' < old > new`"
        )


def iter_lines(path: Path) -> Iterator[tuple[int, str]]:
    """As `iter_raw_lines`, decoded as UTF-8. MalformedFileError names line and byte of other encodings."""
    for number, raw in iter_raw_lines(path):
        try:
            yield number, raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise MalformedFileError(
                f"{path}:{number}: byte {exc.start + 1} of the line (0x{raw[exc.start]:02x}) is not UTF-8; "
                "convert the file, for example with `iconv -f LATIN1 -t UTF-8`"
            ) from exc


def fingerprint(path: str | Path) -> str:
    """128-bit BLAKE2b hash of the bytes of a file, in hex: whether an input changed between two runs."""
    digest = hashlib.blake2b(digest_size=16)
    with require_file(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            return handle.read(256)
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}") from exc


def _is_binary(head: bytes) -> bool:
    """Control bytes occur: a text may well begin with the letters "PAR1" or "BZh"."""
    return any(byte < 9 or 13 < byte < 32 for byte in head) or head[:1] in (b"\xff", b"\xfe")


def _refuse_lfs_pointer(path: Path) -> None:
    head = _head(path)
    if not head.startswith(LFS_MAGIC):
        return
    sizes = [line[5:].decode("ascii", "replace") for line in head.splitlines() if line.startswith(b"size ")]
    size = f" of {sizes[0]} bytes" if sizes else ""
    raise MalformedFileError(
        f"{path} is a git-LFS pointer of {path.stat().st_size} bytes, not the data{size}; run `git lfs pull`"
    )


def _nearest_hint(path: Path) -> str:
    if not path.parent.is_dir():
        return f", nor does its folder {path.parent}"
    if path.is_symlink():
        return f": it is a link to {path.readlink()}, which leads nowhere"
    names = get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    return f"; did you mean {path.parent / names[0]}?" if names else ""
