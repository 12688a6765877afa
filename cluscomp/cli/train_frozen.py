"""`cluscomp train repconc --frozen`: product codes for vectors that are there already."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp.cli import output
from cluscomp.cli.common import flag
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from cluscomp.quantization import LearnedCodec
    from cluscomp.training.frozen.train import FrozenReport


PANEL = "Vectors that are there already (--frozen)"
Frozen = Annotated[
    bool,
    flag("--frozen", help="Train codes for given vectors; no text, no encoder.", env=False, panel=PANEL),
]
Embeddings = Annotated[
    Path | None, flag("--embeddings", help="Vectors of the documents: .npy, .fvecs, ...", panel=PANEL)
]
Ids = Annotated[Path | None, flag("--ids", help="Text file with one document id a line.", panel=PANEL)]
QueryEmbeddings = Annotated[
    Path | None,
    flag("--query-embeddings", help="Vectors of queries. (default: documents stand for them)", panel=PANEL),
]
Lengths = Annotated[
    Path | None,
    flag(
        "--lengths",
        help="For documents of several vectors: .npy, vectors of each document.",
        panel=PANEL,
    ),
]
QueryLengths = Annotated[
    Path | None, flag("--query-lengths", help="Beside --lengths: .npy, vectors of each query.", panel=PANEL)
]
PoolName = Annotated[
    str | None,
    flag("--pool", help="Beside --lengths: pool of the index key. (default: Pool16)", panel=PANEL),
]
QueryIds = Annotated[
    Path | None, flag("--query-ids", help="Text file with one query id a line.", panel=PANEL)
]
Qrels = Annotated[
    Path | None,
    flag("--qrels", help="Judgements to learn from. (default: exact scores teach)", panel=PANEL),
]
Metric = Annotated[str, flag("--metric", help="Similarity to search by.", metavar="ip|cosine", panel=PANEL)]
LabelCentroids = Annotated[
    bool,
    flag(
        "--label-centroids/--no-label-centroids",
        help="Judgements teach the centroids, too: learns which documents are answers.",
        env=False,
        panel=PANEL,
    ),
]


@dataclass(frozen=True)
class FrozenFlags:
    """Values of the flags of frozen training, as they were given."""

    embeddings: Path | None
    ids: Path | None
    query_embeddings: Path | None
    query_ids: Path | None
    qrels: Path | None
    metric: str
    label_centroids: bool
    lengths: Path | None = None
    query_lengths: Path | None = None
    pool: str | None = None

    @property
    def is_late(self) -> bool:
        """Documents are several vectors each."""
        return self.lengths is not None

    def check(self) -> None:
        """Raise UsageError where flags are missing or do not go together."""
        if self.embeddings is None:
            raise UsageError("--frozen needs --embeddings, the vectors of the documents")
        for name in ("query_lengths", "pool"):
            if getattr(self, name) is not None and not self.is_late:
                raise UsageError(f"--{name.replace('_', '-')} belongs to --lengths, which is not given")
        if (self.query_lengths is None) != (self.query_embeddings is None) and self.is_late:
            raise UsageError("with --lengths, --query-embeddings and --query-lengths come together")
        if self.qrels is not None:
            for name in ("query_embeddings", "query_ids", "ids"):
                if getattr(self, name) is None:
                    flag = "--" + name.replace("_", "-")
                    raise UsageError(f"--qrels names queries and documents, so {flag} is needed, too")
        if self.query_embeddings is None and self.query_ids is not None:
            raise UsageError("--query-ids belongs to --query-embeddings")


def run(
    flags: FrozenFlags, *, m: int | None, nbits: int, output_folder: Path | None, if_exists: str, seed: int,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train the codec and write its folder."""
    if m is None or output_folder is None:
        raise UsageError(f"{'--m' if m is None else '--output'} is missing")
    from cluscomp.quantization.learned_folder import check_codec_target

    flags.check()
    check_codec_target(output_folder, if_exists)
    with StageProgress(quiet=quiet) as progress:
        train = _train_late if flags.is_late else _train_single
        codec, report = train(flags, m, nbits=nbits, metric=flags.metric, seed=seed, progress=progress)
    codec.save(output_folder, if_exists=if_exists)
    _show(report, codec.code_size, flags, output_folder, as_json)


def _train_single(flags: FrozenFlags, m: int, **options: Any) -> tuple[LearnedCodec, FrozenReport]:
    """Train for documents of one vector."""
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.training.frozen.loop import FrozenSettings
    from cluscomp.training.frozen.train import train_frozen

    documents = open_embeddings(Path(str(flags.embeddings)), flags.ids)
    x, queries, positives = documents.read(0, documents.n), None, None
    if flags.query_embeddings is not None:
        asked = open_embeddings(flags.query_embeddings, flags.query_ids)
        queries = asked.read(0, asked.n)
        positives = _positives(flags, asked.ids, documents.ids)
    settings = FrozenSettings(label_centroids=flags.label_centroids)
    return train_frozen(x, m, queries=queries, positives=positives, settings=settings, **options)


def _train_late(flags: FrozenFlags, m: int, **options: Any) -> tuple[LearnedCodec, FrozenReport]:
    """Train for documents of several vectors."""
    from cluscomp.inputs.ragged import open_ragged
    from cluscomp.training.frozen.late_train import DEFAULT_POOL, LateSettings, train_frozen_late

    documents, lengths, ids = open_ragged(Path(str(flags.embeddings)), flags.lengths, flags.ids)
    given: dict[str, Any] = {}
    if flags.query_embeddings is not None:
        asked, counts, names = open_ragged(flags.query_embeddings, flags.query_lengths, flags.query_ids)
        given = {"queries": asked.read(0, asked.n), "query_lengths": counts}
        given["positives"] = _positives(flags, names, ids)
    return train_frozen_late(
        documents.read(0, documents.n), lengths, m, pool=flags.pool or DEFAULT_POOL,
        settings=LateSettings(label_centroids=flags.label_centroids), **given, **options,
    )  # fmt: skip


def _positives(flags: FrozenFlags, query_ids: Any, ids: Any) -> list[np.ndarray] | None:
    """Numbers of the documents that answer each query, None without judgements."""
    from cluscomp.eval.qrels import read_qrels
    from cluscomp.training.frozen.data import positives_of

    if flags.qrels is None:
        return None
    return positives_of(
        read_qrels(flags.qrels), *([str(name) for name in names] for names in (query_ids, ids))
    )


def _show(report: FrozenReport, code_size: int, flags: FrozenFlags, folder: Path, as_json: bool) -> None:
    from cluscomp.training.frozen.late_train import DEFAULT_POOL

    key = f"RepCONC({folder})"
    if flags.is_late:
        key = f"{flags.pool or DEFAULT_POOL},{key}"
    if as_json:
        output.result_json({"output": str(folder), "key": key, **report.to_json()})
        return
    teacher = f"{report.n_positives} positives and exact scores" if report.n_positives else "exact scores"
    asked = f"{report.n_queries} queries" if report.n_queries else "documents in place of queries"
    of_what = " a vector" if flags.is_late else ""
    output.result(
        f"{folder}: {code_size} code bytes{of_what}, {report.n_documents} documents, {asked}, taught by "
        f"{teacher}, in {output.seconds_text(report.seconds)}"
    )
    first, kept = report.epochs[0].ndcg, report.epochs[report.kept].ndcg
    if first is not None and kept is not None:
        output.result(
            f"nDCG@10 of {report.n_held_out} held-out queries: {first:.4f} before, {kept:.4f} after epoch "
            f"{report.kept} of {len(report.epochs) - 1}, which was kept"
        )
    words: list[Any] = ["build-index", "--embeddings", flags.embeddings]
    words += ["--lengths", flags.lengths] if flags.is_late else []
    words += [] if flags.ids is None else ["--ids", flags.ids]
    words += ["--metric", flags.metric, "--index-key", key, "--output", f"{folder}.index"]
    output.result("next: " + shlex.join(str(word) for word in words))
