import gzip

import pytest

from cluscomp import errors
from cluscomp.inputs import files

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def write(folder, data, name="x.jsonl"):
    path = folder / name
    path.write_bytes(data)
    return path


def test_lines_end_at_lf_or_crlf_only(tmp_path):
    path = write(tmp_path, "a\u2028b\x0bc\r\nd\re\n\n\x85".encode())
    assert list(files.iter_lines(path)) == [(1, "a\u2028b\x0bc"), (2, "d\re"), (3, ""), (4, "\x85")]


def test_byte_order_mark_is_dropped_once(tmp_path):
    assert list(files.iter_lines(write(tmp_path, b"\xef\xbb\xbf\xef\xbb\xbfa\n"))) == [(1, "\ufeffa")]


def test_empty_file_has_no_lines(tmp_path):
    assert list(files.iter_lines(write(tmp_path, b""))) == []


def test_gzip_is_known_by_content(tmp_path):
    path = write(tmp_path, gzip.compress(b"a\nb"), "plain.txt")
    assert list(files.iter_lines(path)) == [(1, "a"), (2, "b")]


def test_gz_name_without_gzip_content(tmp_path):
    with pytest.raises(errors.MalformedFileError, match="not gzip"):
        list(files.iter_lines(write(tmp_path, b"a\n", "a.txt.gz")))


@pytest.mark.parametrize(
    "cut", [lambda data: data[:-4], lambda data: data[:40], lambda data: data[:30] + b"\0" * 40]
)
def test_damaged_gzip(tmp_path, cut):
    data = gzip.compress("".join(f"line {i * i}\n" for i in range(200)).encode())
    with pytest.raises(errors.MalformedFileError, match="truncated or damaged"):
        list(files.iter_lines(write(tmp_path, cut(data), "a.txt.gz")))


def test_other_encodings_are_named_by_line_and_byte(tmp_path):
    with pytest.raises(errors.MalformedFileError, match=r"x\.jsonl:2: byte 3 .*0xe9.*iconv"):
        list(files.iter_lines(write(tmp_path, b"ok\ncaf\xe9\n".replace(b"caf", b"ca"))))


def test_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    path = write(tmp_path, b"0123456789\n0123456789ab\n")
    with pytest.raises(errors.MalformedFileError, match=r":2: line is longer than 10"):
        list(files.iter_lines(path))


def test_missing_file_names_the_nearest(tmp_path):
    write(tmp_path, b"", "corpus.jsonl")
    with pytest.raises(errors.MissingInputError, match=r"did you mean .*corpus\.jsonl"):
        files.require_file(tmp_path / "corpus.json")
    with pytest.raises(FileNotFoundError, match="nor does its folder"):
        files.require_file(tmp_path / "no" / "corpus.json")


def test_folder_instead_of_file(tmp_path):
    with pytest.raises(errors.MalformedFileError, match="is a folder"):
        files.require_file(tmp_path)


def test_lfs_pointer_names_both_sizes(tmp_path):
    with pytest.raises(
        errors.MalformedFileError, match=rf"pointer of {len(LFS)} bytes.*12345 bytes.*git lfs pull"
    ):
        files.require_file(write(tmp_path, LFS))


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"PK\x03\x04\x14\x00\x00\x00", "zip"),
        (b"PAR1\x15\x04\x15", "Parquet"),
        (b"\x89HDF\r\n\x1a\n\x00", "HDF5"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"BZh91AY&SY\x01", "bzip2"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"\x80\x04\x95\x00", "pickle"),
        (b"ARROW1\x00\x00", "Arrow"),
    ],
)
def test_foreign_formats_are_named(tmp_path, head, what):
    with pytest.raises(errors.MalformedFileError, match=rf"{what}.*a \.jsonl file is needed; "):
        files.refuse_foreign(write(tmp_path, head), "a .jsonl file")


@pytest.mark.parametrize("text", ["PAR1S is a text\n", "BZhang\t1\n", "ARROW1\n", "{}", ""])
def test_texts_that_begin_like_a_format_are_texts(tmp_path, text):
    files.refuse_foreign(write(tmp_path, text.encode()), "text")


def test_fingerprint_follows_the_content(tmp_path):
    a, b, c = (write(tmp_path, data, name) for data, name in [(b"1", "a"), (b"1", "b"), (b"2", "c")])
    assert files.fingerprint(a) == files.fingerprint(b) != files.fingerprint(c)
    assert len(files.fingerprint(a)) == 32
