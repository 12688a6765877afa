"""Test collections in two layouts.

BEIR      corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv
MS MARCO  collection.tsv, queries.SPLIT.tsv, qrels.SPLIT.tsv, as the passage ranking task gives them
"""

from __future__ import annotations

from pathlib import Path

from cluscomp import checks
from cluscomp.errors import MissingInputError
from cluscomp.eval.coverage import report_missing_queries
from cluscomp.eval.hub import dataset_folder
from cluscomp.eval.qrels import Qrels, read_qrels
from cluscomp.inputs.corpus import iter_corpus
from cluscomp.inputs.queries import iter_queries

Corpus = dict[str, dict[str, str]]


def load_beir(
    folder: str | Path, split: str = "test"
) -> tuple[Corpus, dict[str, str], dict[str, dict[str, int]]]:
    """Load a collection as BEIR's GenericDataLoader does, from a folder in the layout of BEIR or MS MARCO.

    folder: or a hub id such as "BeIR/scifact", which is downloaded at its first use (hub.py).
    split: of MS MARCO "dev.small" (its official MRR@10 is evaluate's "mrr@10" on it), "dev" or "train".
    Returns corpus {doc id: {"title", "text"}} (empty documents included), queries {query id: text} in the
    order of their judgements and restricted to those that have some in the split, and qrels {query id: {doc
    id: level}}. Any of the files may be gzip-compressed with an additional .gz.
    Judged queries without text are left out of `queries` with an IncompleteInputWarning; `evaluate` counts
    them 0. Raises MissingInputError (for a split: with the splits that exist), InputError when none has a
    text, and the errors of `iter_corpus`, `iter_queries` and `read_qrels`.
    """
    folder = dataset_folder(folder)
    qrels = read_qrels(split_file(folder, split))
    queries = _judged_queries(folder, qrels, split)
    corpus = {
        doc.id: {"title": doc.title, "text": doc.text} for doc in iter_corpus(folder, empty_documents="keep")
    }
    return corpus, queries, qrels


def available_splits(folder: str | Path) -> list[str]:
    """Names of the splits with judgements, sorted."""
    return sorted(_split_files(checks.path("folder", folder)))


def split_file(folder: str | Path, split: str) -> Path:
    """The file with the judgements of a split. Raises MissingInputError listing the splits that exist."""
    folder = checks.path("folder", folder)
    if not folder.is_dir():
        raise MissingInputError(
            f"{folder} is not a folder in the layout of BEIR (corpus.jsonl, queries.jsonl, qrels/) "
            "or MS MARCO (collection.tsv, queries.SPLIT.tsv, qrels.SPLIT.tsv)"
        )
    files = _split_files(folder)
    if split not in files:
        have = f"it has: {', '.join(sorted(files))}" if files else f"there is no .tsv in {folder / 'qrels'}"
        raise MissingInputError(f"{folder} has no judgements for split {split!r}; {have}")
    return files[split]


def _split_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pattern in ("qrels.*.tsv.gz", "qrels.*.tsv", "qrels/*.tsv.gz", "qrels/*.tsv"):
        for path in sorted(folder.glob(pattern)):
            name = path.name.removesuffix(".gz").removesuffix(".tsv")
            found[name if "/" in pattern else name.removeprefix("qrels.")] = path
    return found


def _judged_queries(folder: Path, qrels: Qrels, split: str) -> dict[str, str]:
    """Texts of the judged queries that have one, in the order of their judgements."""
    texts = {query.id: query.text for query in iter_queries(folder, split) if query.id in qrels}
    missing = [query_id for query_id in qrels if query_id not in texts]
    report_missing_queries(missing, len(qrels), f"the queries of {folder}")
    return {query_id: texts[query_id] for query_id in qrels if query_id in texts}
