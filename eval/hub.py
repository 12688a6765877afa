"""Test collections by name: a local folder, or BEIR's collections on the Hugging Face hub.

`BeIR/scifact` has its texts in the repository of that name and its judgements in `BeIR/scifact-qrels`. They
are read by `datasets` once, and kept as a folder in BEIR's layout, so that all that reads folders works on
them.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cluscomp import checks
from cluscomp.cache import cache_dir
from cluscomp.errors import InputError, MissingInputError, require
from cluscomp.eval.qrels import LEVELS, level_of
from cluscomp.folders import new_folder

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a hub id, "owner/name"."""
    return _HUB_ID.fullmatch(name) is not None


def dataset_folder(name: str | Path, *, base: str | Path = ".") -> Path:
    """The folder of a collection: `name` itself where that is a folder (below `base`), else the hub's.

    name: a folder in the layout of BEIR or MS MARCO, or a hub id such as "BeIR/scifact", which is downloaded
    at its first use into the cache folder (`cluscomp.encoders.cache_dir`).
    Raises MissingInputError for a hub id that the hub does not give, or without the package `datasets`.
    """
    folder = Path(base) / checks.path("folder", name)
    if folder.exists() or folder.parent.exists() or not is_hub_id(str(name)):
        return folder
    if importlib.util.find_spec("datasets") is None:
        raise MissingInputError(
            f"the folder {folder} does not exist; if {str(name)!r} is a collection of the hub, reading it "
            "needs: pip install 'cluscomp[eval]'"
        )
    target = cache_dir() / "datasets" / str(name).replace("/", "--")
    if not target.is_dir():
        download_beir(str(name), target)
    return target


def download_beir(hub_id: str, target: str | Path) -> Path:
    """Copy a collection of the hub into a folder in BEIR's layout, which appears complete or not at all.

    hub_id: such as "BeIR/scifact". Raises MissingInputError (not on the hub, or no network),
    InputError (a judgement that is no whole number), OptionalDependencyError.
    """
    target = Path(target)
    with new_folder(target) as draft:
        (draft / "qrels").mkdir()
        _copy(hub_id, draft)
    return target


def _copy(hub_id: str, folder: Path) -> None:
    corpus, queries = (_first_split(_load(hub_id, part)) for part in ("corpus", "queries"))
    _write_lines(folder / "corpus.jsonl", (_record(row, ("title", "text")) for row in corpus))
    _write_lines(folder / "queries.jsonl", (_record(row, ("text",)) for row in queries))
    for split, rows in _load(f"{hub_id}-qrels").items():
        lines = [_judgement(hub_id, split, row) for row in rows]
        text = "query-id\tcorpus-id\tscore\n" + "".join(lines)
        (folder / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")


def _judgement(hub_id: str, split: str, row: Mapping[str, Any]) -> str:
    level = level_of(row["score"])
    if level is None:
        raise InputError(
            f"{hub_id}-qrels, split {split}: document {row['corpus-id']!r} is judged {row['score']!r} for "
            f"query {row['query-id']!r}; {LEVELS}"
        )
    return f"{row['query-id']}\t{row['corpus-id']}\t{level}\n"


def _load(repository: str, *config: str) -> Mapping[str, Iterable[Mapping[str, Any]]]:
    datasets = require("datasets", extra="eval", why=f"the collection {repository!r} of the hub")
    try:
        found: Mapping[str, Iterable[Mapping[str, Any]]] = datasets.load_dataset(repository, *config)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as exc:
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise MissingInputError(
            f"{repository!r} is neither a folder nor a collection that the hub gives ({reason}); check the "
            "name and the network, or name a folder in the layout of BEIR"
        ) from exc
    return found


def _first_split(splits: Mapping[str, Iterable[Mapping[str, Any]]]) -> Iterable[Mapping[str, Any]]:
    return next(iter(splits.values()))


def _record(row: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, str]:
    return {"_id": str(row["_id"])} | {name: str(row.get(name) or "") for name in fields}


def _write_lines(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
