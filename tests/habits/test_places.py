"""Places where commands run: caches that take no files, no home folder, names and devices that refuse."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.encoders import encode_cached
from cluscomp.encoders.base import EncoderInfo
from cluscomp.encoders.cache import cache_dir, usable_cache
from cluscomp.errors import InputError

LONG = "x" * 300


class Letters:
    """Encodes a text as the counts of its first letters; counts how many texts it was given."""

    def __init__(self):
        fingerprint = hashlib.blake2b(b"letters", digest_size=16).hexdigest()
        self.info = EncoderInfo(name="letters", kind="dense", dim=4, normalize=False, query_prompt="", document_prompt="",
                                max_seq_length=None, fingerprint=fingerprint)  # fmt: skip
        self.seen = 0

    def encode_documents(self, texts, progress=None):
        self.seen += len(texts)
        return np.array([[text.count(letter) for letter in "abcd"] for text in texts], "f4").reshape(-1, 4)

    encode_queries = encode_documents


TEXTS = ["abba", "cab", "dad", "bad cab"]


def spoil_nothing(monkeypatch, folder):
    pass


def spoil_folder(monkeypatch, folder):
    folder.mkdir()
    (folder / "encodings").write_text("a file")


def spoil_place_of_the_encoder(monkeypatch, folder):
    (folder / "encodings").mkdir(parents=True)
    (folder / "encodings" / Letters().info.fingerprint).write_text("a file")


def spoil_files(monkeypatch, folder):
    """What a read-only file system does to root, whom os.access tells that all is well."""

    def refuse(*args, **more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))

    folder.mkdir()
    monkeypatch.setattr("cluscomp.encoders.cache.tempfile.NamedTemporaryFile", refuse)


def spoil_renames(monkeypatch, folder):
    real = os.replace

    def refuse(source, target, **more):
        if str(folder) in os.fspath(source):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source)
        real(source, target, **more)

    monkeypatch.setattr("os.replace", refuse)


def spoil_home(monkeypatch, folder):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CLUSCOMP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)


@pytest.fixture(
    params=[spoil_nothing, spoil_folder, spoil_place_of_the_encoder, spoil_files, spoil_renames, spoil_home]
)
def cache(request, monkeypatch, tmp_path):
    """Whether the cache takes files."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    request.param(monkeypatch, tmp_path / "cache")
    return request.param is spoil_nothing


def test_texts_are_encoded_once_whatever_the_cache_is(cache, tmp_path, caplog):
    encoder = Letters()
    with caplog.at_level(logging.WARNING):
        documents = [(str(i), "", text) for i, text in enumerate(TEXTS)]
        cc.build_index(documents, encoder=encoder, index_key="Flat", output=tmp_path / "x")
    assert encoder.seen == len(TEXTS) and len(cc.open_index(tmp_path / "x")) == len(TEXTS)
    assert ("not cached" in caplog.text) is not cache
    np.testing.assert_array_equal(
        encode_cached(encoder, TEXTS, side="document"), Letters().encode_documents(TEXTS)
    )
    assert encoder.seen == len(TEXTS) * (1 if cache else 2)


def test_no_home_folder_says_what_to_set(monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(InputError, match="set CLUSCOMP_CACHE or HOME"):
        cache_dir()
    assert usable_cache("encodings") is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index x, vectors x.npy, a file f, and a link that leads to itself."""
    place = tmp_path_factory.mktemp("places")
    np.save(place / "x.npy", np.eye(4, dtype="f4"))
    cc.index_factory("Flat", 4).add(np.eye(4, dtype="f4")).save(place / "x")
    (place / "f").write_text("text")
    (place / "loop").symlink_to("loop")
    return place


BUILD = "build-index --embeddings x.npy --index-key Flat"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [(f"inspect {LONG}", 5, "use a shorter name"),
     (f"search {LONG} --query-embeddings x.npy", 5, "use a shorter name"),
     (f"search x --query-embeddings {LONG}", 4, "use a shorter name"),
     ("search x --query-embeddings loop", 4, "a link to loop, which leads nowhere"),
     (f"search x --query-embeddings x.npy -o {LONG}", 4, "use a shorter name"),
     (f"{BUILD} -o {LONG}", 4, "use a shorter name"), (f"{BUILD} -o f/y", 4, "a part of the path is a file"),
     (f"{BUILD} -o loop/y", 4, "links lead in a circle"), (f"{BUILD} --ids {LONG} -o y", 4, "use a shorter name"),
     (f"{BUILD} -o /proc/x", 4, "make its folder"), (f"{BUILD} -o /sys/x", 4, "name another place"),
     (f"eval x --dataset {LONG}", 4, "use a shorter name"), (f"tune --embeddings {LONG}", 4, "use a shorter name"),
     (f"merge-lora {LONG} x --rank 2 -o z", 4, "use a shorter name"), (f"compare {LONG}", 4, "use a shorter name")],
    ids=lambda value: value.replace(LONG, "LONG") if isinstance(value, str) else value,
)  # fmt: skip
def test_refusals_of_the_file_system_are_the_users(folder, command, code, words):
    if "/sys/" in command and not os.path.isdir("/sys/kernel"):
        pytest.skip("no /sys here")
    program = [sys.executable, "-m", "cluscomp", *command.split()]
    done = subprocess.run(program, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert done.returncode == code and words in done.stderr and "internal" not in done.stderr, done.stderr
    left = {path.name for path in folder.iterdir()}
    assert left == {"x", "x.npy", "f", "loop"}, "nothing stays behind"
