"""Indexes on the Hugging Face hub: pushed as a data set repository, and opened by hf://owner/name@revision."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluscomp.cache import cache_dir
from cluscomp.errors import IndexFolderError, IndexMissingError, UsageError, require
from cluscomp.folders import new_folder
from cluscomp.indexes.storage.folder import COPY_MARK
from cluscomp.indexes.storage.local_place import LocalPlace
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, parse_manifest
from cluscomp.indexes.storage.opening import open_folder

SCHEME = "hf://"
_ADDRESS = re.compile(r"(?:hf://?)?(?:datasets/)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO = "dataset"
Value = TypeVar("Value")


@dataclass(frozen=True)
class HubAddress:
    """A repository and a revision of it: a branch, a tag or a commit; None for the newest."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}" + ("" if self.revision is None else f"@{self.revision}")


def is_address(path: Any) -> bool:
    """Whether a path is meant as an address of the hub."""
    return str(path).startswith("hf:/")


def parse_address(text: str) -> HubAddress:
    """The address hf://owner/name or hf://owner/name@revision. Raises UsageError."""
    found = _ADDRESS.fullmatch(str(text))
    if found is None or ".." in str(text):
        raise UsageError(
            f"{text!r} is no address of the hub; write hf://owner/name or hf://owner/name@revision"
        )
    return HubAddress(found[1], found[2])


def fetched(address: HubAddress) -> Path:
    """The folder of an index of the hub, in the cache: downloaded at its first use, with all sums compared.

    A revision is looked up each time; a commit of 40 digits that is there needs no network. Raises
    IndexMissingError (no such index, or the hub does not answer), CorruptIndexError, ForeignFileError,
    NewerFormatError, OptionalDependencyError.
    """
    base = cache_dir() / "hub" / address.repo.replace("/", "--")
    commit = address.revision or ""
    if not _COMMIT.fullmatch(commit) or not (base / commit).is_dir():
        api = _api(str(address))
        info = _asked(
            address, lambda: api.repo_info(address.repo, repo_type=_REPO, revision=address.revision)
        )
        commit = str(info.sha)
        if not _COMMIT.fullmatch(commit):
            raise IndexMissingError(f"the hub gives no commit for {address}, but {commit!r:.60}")
    target = base / commit
    if not target.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        with new_folder(target) as draft:
            _download(address, commit, draft)
    return target


def _download(address: HubAddress, commit: str, draft: Path) -> None:
    api = _api(str(address))

    def files(patterns: list[str]) -> None:
        _asked(
            address,
            lambda: api.snapshot_download(
                address.repo, repo_type=_REPO, revision=commit, local_dir=draft, allow_patterns=patterns
            ),
        )

    files([MANIFEST_NAME])
    where = draft / MANIFEST_NAME
    if not where.is_file():
        raise IndexMissingError(f"{address} has no {MANIFEST_NAME}, so it is no index")
    manifest = parse_manifest(where.read_bytes(), f"{address}/{MANIFEST_NAME}")
    files(sorted(manifest.names))
    open_folder(LocalPlace(draft), verify=True)
    (draft / COPY_MARK).write_text(json.dumps({"repo": address.repo, "commit": commit}), encoding="utf-8")


def pushed(
    index: Any, repo: str, *, revision: str | None, private: bool | None, message: str | None
) -> HubAddress:
    """Write an index into a data set repository, as one commit; returns its address with the commit.

    Raises UsageError (no address), IndexFolderError (the hub refuses), OptionalDependencyError.
    """
    address = parse_address(repo)
    if address.revision is not None:
        raise UsageError(f"{repo!r} names a revision; pass it as revision=, a branch to write to")
    api = _api("push_to_hub")
    with tempfile.TemporaryDirectory(prefix="cluscomp-hub-") as folder:
        target = Path(folder) / "index"
        copy.copy(index).save(target)
        (target / "README.md").write_text(card(index, address), encoding="utf-8")

        try:
            api.create_repo(address.repo, repo_type=_REPO, private=private, exist_ok=True)
            sent = api.upload_folder(
                repo_id=address.repo,
                repo_type=_REPO,
                folder_path=target,
                revision=revision,
                commit_message=message or f"Index {index.key} of {len(index)} rows",
                ignore_patterns=[".lock"],
                delete_patterns=["*"],
            )
        except Exception as exc:
            raise IndexFolderError(f"the hub did not take the index as {address.repo!r}: {exc}") from exc
    return HubAddress(address.repo, str(sent.oid))


def card(index: Any, address: HubAddress) -> str:
    """README.md of the repository: what the index is and how it is opened."""
    encoder = (index.encoder or {}).get("name")
    facts = {
        "key": f"`{index.key}`",
        "rows": len(index),
        "dimensions": index.dim,
        "metric": index.metric,
        "encoder": encoder or "none: built from vectors",
        "bytes": index.nbytes()["total"],
        "attributes": ", ".join(index.attribute_schema) or "none",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    head = "---\ntags:\n- cluscomp\n- vector-index\n---\n"
    use = f'import cluscomp as cc\n\nindex = cc.open_index("{SCHEME}{address.repo}")'
    body = f"# {address.repo}\n\nAn index of cluscomp.\n\n| | |\n| --- | --- |\n{rows}\n"
    return f"{head}\n{body}\n```python\n{use}\n```\n"


def _api(what: str) -> Any:
    return require("huggingface_hub", extra="hub", why=what).HfApi()


def _asked(address: HubAddress, work: Callable[[], Value]) -> Value:
    try:
        return work()
    except Exception as exc:
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise IndexMissingError(
            f"{address} cannot be had from the hub ({reason}); check name, revision, token and network"
        ) from exc
