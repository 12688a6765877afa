"""Indexes on the hub, against a local double of HfApi: pushed, opened by hf://, with sums compared."""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import (
    CorruptIndexError,
    ForeignFileError,
    IndexFolderError,
    IndexMissingError,
    UsageError,
)
from cluscomp.indexes.storage.hub import HubAddress, parse_address

huggingface_hub = pytest.importorskip("huggingface_hub")
REPO = "ada/notes"


class Double:
    """The part of HfApi that is used, over a folder with one folder a commit."""

    def __init__(self, root):
        self.root, self.commits, self.calls, self.down = root, {}, [], False

    def _folder(self, repo, revision):
        if self.down:
            raise ConnectionError("no route to the hub")
        history = self.commits.get(repo)
        if history is None:
            raise ValueError(f"404: {repo} is not there")
        commit = history[-1] if revision in (None, "main") else revision
        if commit not in history:
            raise ValueError(f"404: no revision {revision}")
        return commit, self.root / repo.replace("/", "--") / commit

    def create_repo(self, repo, *, repo_type, private, exist_ok):
        assert repo_type == "dataset" and exist_ok
        if self.down:
            raise ConnectionError("no route to the hub")
        self.commits.setdefault(repo, [])

    def upload_folder(self, *, repo_id, repo_type, folder_path, revision, commit_message, ignore_patterns, delete_patterns):  # fmt: skip
        assert repo_type == "dataset" and delete_patterns == ["*"] and commit_message
        commit = hashlib.sha1(f"{repo_id}{len(self.commits[repo_id])}".encode()).hexdigest()
        target = self.root / repo_id.replace("/", "--") / commit
        shutil.copytree(folder_path, target, ignore=shutil.ignore_patterns(*ignore_patterns))
        self.commits[repo_id].append(commit)
        return SimpleNamespace(oid=commit)

    def repo_info(self, repo, *, repo_type, revision):
        self.calls.append("repo_info")
        return SimpleNamespace(sha=self._folder(repo, revision)[0])

    def snapshot_download(self, repo, *, repo_type, revision, local_dir, allow_patterns):
        self.calls.append("download")
        _, folder = self._folder(repo, revision)
        for path in folder.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, local_dir / path.name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    double = Double(tmp_path / "remote")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: double)
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    return double


@pytest.fixture
def index(rng):
    x = rng.standard_normal((60, 8)).astype(np.float32)
    made = cc.index_factory("IVF4,SQ8", 8, "l2").train(x)
    return made.add(x, documents=[f"text {i}" for i in range(60)], attributes={"n": range(60)})


def test_there_and_back(hub, index, rng):
    address = index.push_to_hub(REPO)
    assert address == f"hf://{REPO}@{hub.commits[REPO][0]}" and index.origin is None
    q = rng.standard_normal((3, 8))
    for path in (f"hf://{REPO}", address, f"hf://datasets/{REPO}@main"):
        opened = cc.open_index(path)
        for mine, theirs in zip(index.search(q, 5), opened.search(q, 5), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert opened.get([7])[0].text == "text 7" and opened.get([7])[0].attributes == {"n": 7}
    card = next(hub.root.rglob("README.md")).read_text()
    assert card.startswith("---\ntags:") and "`IVF4,SQ8`" in card and "| rows | 60 |" in card
    assert f'cc.open_index("hf://{REPO}")' in card
    assert not list(hub.root.rglob(".lock"))


def test_a_commit_that_is_there_needs_no_network(hub, index):
    address = index.push_to_hub(REPO)
    cc.open_index(address)
    hub.calls.clear()
    hub.down = True
    assert len(cc.open_index(address)) == 60 and hub.calls == []
    with pytest.raises(IndexMissingError, match="no route to the hub"):
        cc.open_index(f"hf://{REPO}")
    with pytest.raises(IndexFolderError, match="no route to the hub"):
        index.push_to_hub(REPO)


def test_a_newer_state_replaces_the_old_one(hub, index):
    first = index.push_to_hub(REPO)
    assert len(cc.open_index(f"hf://{REPO}")) == 60
    index.delete(range(10))
    index.push_to_hub(REPO)
    assert len(cc.open_index(f"hf://{REPO}")) == 50 and len(cc.open_index(first)) == 60


def test_an_index_with_a_folder_stays_at_home(hub, index, tmp_path):
    index.save(tmp_path / "mine")
    opened = cc.open_index(tmp_path / "mine")
    opened.push_to_hub(REPO)
    assert opened.origin.folder == (tmp_path / "mine").resolve() and opened.generation == 1
    assert len(cc.open_index(f"hf://{REPO}")) == 60


def test_damaged_files_are_refused_and_not_kept(hub, index):
    index.push_to_hub(REPO)
    path = max(hub.root.rglob("s*.codes.npy"), key=lambda path: path.stat().st_size)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(CorruptIndexError):
        cc.open_index(f"hf://{REPO}")
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises((CorruptIndexError, ForeignFileError)):
        cc.open_index(f"hf://{REPO}")
    path.write_bytes(good)
    assert len(cc.open_index(f"hf://{REPO}")) == 60


def test_the_copy_is_not_changed(hub, index, tmp_path):
    opened = cc.open_index(index.push_to_hub(REPO))
    with pytest.raises(UsageError, match="copy of an index of the hub"), opened.writer() as writer:
        writer.delete([1])
    opened.delete([1])
    opened.save(tmp_path / "own")
    assert len(cc.open_index(tmp_path / "own")) == 59 and len(cc.open_index(f"hf://{REPO}")) == 60


def test_what_is_not_there(hub, index):
    with pytest.raises(IndexMissingError, match="404"):
        cc.open_index("hf://ada/nothing")
    index.push_to_hub(REPO)
    with pytest.raises(IndexMissingError, match="no revision v9"):
        cc.open_index(f"hf://{REPO}@v9")
    for path in hub.root.rglob("manifest.json"):
        path.unlink()
    with pytest.raises(IndexMissingError, match="no manifest.json"):
        cc.open_index(f"hf://{REPO}")


def test_addresses(index):
    assert parse_address("hf://a/b@v1.0") == HubAddress("a/b", "v1.0")
    assert str(parse_address("a/b")) == "hf://a/b"
    for wrong in ("hf://a", "hf://a/b/c", "hf://../b", "hf://a/b@", "hf://a/b@../x", "hf://a b/c", ""):
        with pytest.raises(UsageError, match="hf://owner/name"):
            parse_address(wrong)
    with pytest.raises(UsageError, match="revision="):
        index.push_to_hub("a/b@main")
