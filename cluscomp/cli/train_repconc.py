"""`cluscomp train repconc`: an encoder and product codes that are trained together."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp.cli import common, output, train_frozen
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError
from cluscomp.vocabulary import IfExists, JpqLoss, PseudoQueries

if TYPE_CHECKING:
    from cluscomp.training.repconc.train import TrainingReport

DATA, BOTH, MACHINE = "Data", "Both stages", "Machine"
JOINT, JPQ = "Joint stage", "Second stage (JPQ)"
COLUMNS = ("stage", "steps", "metric", "at first", "at last")


@exits_by_contract
def train_repconc(
    corpus: Annotated[
        Path | None,
        flag("--corpus", help="A BEIR folder, or a .jsonl file of query and positive.", panel=DATA),
    ] = None,
    encoder: Annotated[
        str | None, flag("--encoder", help="Model to start from: 'minilm', hub name or folder.", panel=DATA)
    ] = None,
    m: Annotated[int | None, flag("--m", help="Codes a vector; must divide the dimension.", min=1)] = None,
    nbits: Annotated[int, flag("--nbits", help="Bits a code: 4, 6 or 8.")] = 8,
    output_folder: Annotated[
        Path | None, flag("--output", "-o", help="Folder for encoder, codec and report.")
    ] = None,
    split: Annotated[str, flag("--split", help="Judgements to train on.", panel=DATA)] = "train",
    pseudo_queries: Annotated[
        PseudoQueries,
        flag(
            "--pseudo-queries",
            help="Titles as queries: auto (if there are no others), add, none.",
            panel=DATA,
        ),
    ] = "auto",
    batch_size: Annotated[int, flag("--batch-size", help="Queries a step.", min=1, panel=BOTH)] = 32,
    scale: Annotated[
        float | None,
        flag(
            "--scale",
            help="Of scores in losses. (default: 20 where vectors are normalised, else 1)",
            panel=BOTH,
        ),
    ] = None,
    topics: Annotated[
        bool,
        flag("--topics/--no-topics", help="Batches of queries about one topic.", env=False, panel=BOTH),
    ] = False,
    centroid_lr: Annotated[
        float, flag("--centroid-lr", help="Learning rate of centroids, times their size.", panel=BOTH)
    ] = 0.01,
    query_tokens: Annotated[
        int, flag("--query-tokens", help="Tokens read of a query.", min=3, panel=BOTH)
    ] = 64,
    joint_epochs: Annotated[
        float, flag("--joint-epochs", help="0 leaves the stage out; 1 for large data.", min=0, panel=JOINT)
    ] = 0.0,
    joint_lr: Annotated[float, flag("--joint-lr", help="Learning rate of the encoder.", panel=JOINT)] = 2e-5,
    negatives: Annotated[int, flag("--negatives", help="Mined negatives a query.", min=0, panel=JOINT)] = 1,
    document_tokens: Annotated[
        int, flag("--document-tokens", help="Tokens read of a document in training.", min=3, panel=JOINT)
    ] = 128,
    balance_rows: Annotated[
        int, flag("--balance-rows", help="Documents that are assigned together.", min=1, panel=JOINT)
    ] = 1024,
    epsilon: Annotated[
        float, flag("--epsilon", help="Entropy of the balanced assignment.", panel=JOINT)
    ] = 0.01,
    error_weight: Annotated[
        float, flag("--error-weight", help="Weight of the quantization error.", min=0, panel=JOINT)
    ] = 1.0,
    constrained: Annotated[
        bool,
        flag(
            "--constrained/--unconstrained",
            help="Balanced codes in training, or the nearest.",
            env=False,
            panel=JOINT,
        ),
    ] = True,
    jpq_epochs: Annotated[
        float, flag("--jpq-epochs", help="0 leaves the stage out.", min=0, panel=JPQ)
    ] = 2.0,
    jpq_lr: Annotated[float, flag("--jpq-lr", help="Learning rate of the query tower.", panel=JPQ)] = 5e-5,
    jpq_loss: Annotated[
        JpqLoss, flag("--jpq-loss", help="list, or pair (weighted by ranks).", panel=JPQ)
    ] = "list",
    live_negatives: Annotated[
        int, flag("--live-negatives", help="Hits a query in each step.", min=1, panel=JPQ)
    ] = 200,
    distill_weight: Annotated[
        float, flag("--distill-weight", help="Of the uncompressed vectors' scores.", min=0, panel=JPQ)
    ] = 0.0,
    device: Annotated[
        str | None, flag("--device", help="torch device. (default: CUDA where it is there)", panel=MACHINE)
    ] = None,
    bf16: Annotated[
        bool, flag("--bf16/--no-bf16", help="Forward passes in bfloat16.", env=False, panel=MACHINE)
    ] = False,
    chunk: Annotated[
        int | None,
        flag(
            "--chunk",
            help="Gradient cache: texts whose activations are held at once. (default: all)",
            min=1,
            panel=MACHINE,
        ),
    ] = None,
    checkpoint_steps: Annotated[
        int, flag("--checkpoint-steps", help="Steps between checkpoints.", min=1, panel=MACHINE)
    ] = 50,
    frozen: train_frozen.Frozen = False,
    embeddings: train_frozen.Embeddings = None,
    lengths: train_frozen.Lengths = None,
    pool: train_frozen.PoolName = None,
    ids: train_frozen.Ids = None,
    query_embeddings: train_frozen.QueryEmbeddings = None,
    query_lengths: train_frozen.QueryLengths = None,
    query_ids: train_frozen.QueryIds = None,
    qrels: train_frozen.Qrels = None,
    metric: train_frozen.Metric = "ip",
    label_centroids: train_frozen.LabelCentroids = False,
    if_exists: Annotated[
        IfExists, flag("--if-exists", help="When --output, or an unfinished run of it, is there.")
    ] = "fail",
    seed: common.Seed = 0,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Train an encoder and product codes together (RepCONC), then queries against
    them (JPQ).

    Writes --output/encoder (a sentence-transformers model) and --output/codec,
    for build-index with --index-key "RepCONC(DIR/codec)". Lines of progress
    show the loss, the quantization error relative to the squared length of
    vectors, the balance: largest over mean use of a centroid in the balanced
    assignment, and the share of codes moved from the nearest centroid. A
    killed run goes on with --if-exists resume.

    Several GPUs: torchrun --nproc-per-node N -m cluscomp -- train repconc ...

    With --frozen, a codec for vectors that are there already: no encoder, and
    --output is the codec's folder. With --lengths, documents are several vectors
    each, pooled as --pool says, and the codec learns for MaxSim.

    Example: cluscomp train repconc --corpus scifact --encoder minilm --m 24 --output scifact.repconc
    """
    if frozen:
        if corpus is not None or encoder is not None:
            raise UsageError("--frozen is for vectors alone; leave out --corpus and --encoder")
        common.set_threads(threads)
        train_frozen.run(
            train_frozen.FrozenFlags(
                embeddings, ids, query_embeddings, query_ids, qrels, metric, label_centroids,
                lengths, query_lengths, pool,
            ),
            m=m, nbits=nbits, output_folder=output_folder, if_exists=if_exists, seed=seed, quiet=quiet,
            as_json=as_json,
        )  # fmt: skip
        return
    for name, value in (
        ("--corpus", corpus),
        ("--encoder", encoder),
        ("--m", m),
        ("--output", output_folder),
    ):
        if value is None:
            raise UsageError(f"{name} is missing")
    from cluscomp.training.distributed import rank_and_size, stop_processes
    from cluscomp.training.repconc.train import train_repconc as train

    _set_threads(threads)
    with StageProgress(quiet=quiet) as progress:
        report = train(
            corpus, encoder=str(encoder), output=Path(str(output_folder)), split=split,
            pseudo_queries=pseudo_queries, if_exists=if_exists, device=device, progress=progress,
            report=None if quiet else StepLines(every=1 if verbose else None),
            m=m, nbits=nbits, seed=seed, batch_size=batch_size, scale=scale, topics=topics,
            centroid_lr=centroid_lr, query_tokens=query_tokens, joint_epochs=joint_epochs, joint_lr=joint_lr,
            negatives=negatives, document_tokens=document_tokens, balance_rows=balance_rows, epsilon=epsilon,
            error_weight=error_weight, constrained=constrained, jpq_epochs=jpq_epochs, jpq_lr=jpq_lr,
            jpq_loss=jpq_loss, live_negatives=live_negatives, distill_weight=distill_weight, bf16=bf16,
            chunk=chunk, checkpoint_steps=checkpoint_steps,
        )  # fmt: skip
    if rank_and_size()[0] == 0:
        _show(report, Path(str(corpus)), as_json)
    stop_processes()


class StepLines:
    """Lines on stderr with the metrics of a step. every: steps between lines; None: ever rarer ones."""

    def __init__(self, every: int | None = None) -> None:
        self._every = every

    def __call__(self, stage: str, step: int, metrics: dict[str, float]) -> None:
        """Say how step `step`, counted from 1, went."""
        every = self._every or 10 ** max(0, len(str(step)) - 1)
        if step % every == 0:
            values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            output.note(f"{stage} step {step}: {values}")


def _set_threads(threads: int | None) -> None:
    common.set_threads(threads)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _show(report: TrainingReport, corpus: Path, as_json: bool) -> None:
    if as_json:
        output.result_json(report.to_json())
        return
    rows = [
        (stage, str(values["steps"]), name, f"{values['first'][name]:.4g}", f"{values['last'][name]:.4g}")
        for stage, values in report.to_json()["stages"].items()
        for name in values["first"]
    ]
    output.result_table(COLUMNS, rows)
    output.result("next: " + shlex.join(next_command(report, corpus)))


def next_command(report: TrainingReport, corpus: Path) -> list[str]:
    """The command that builds an index with what was trained; a file of pairs is no corpus to name there."""
    documents = corpus if corpus.is_dir() else "CORPUS"
    words: list[Any] = ["build-index", "--corpus", documents, "--encoder", report.output / "encoder"]
    words += ["--index-key", report.key, "--output", f"{report.output}.index"]
    return [str(word) for word in words]
