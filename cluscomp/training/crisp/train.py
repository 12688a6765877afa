"""CRISP: fine-tuning an encoder with its token vectors pooled in every forward pass (arXiv 2505.11471).

Several processes (distributed.py) share every batch: each encodes its pairs and compares its queries with the
documents of all.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import OutputExistsError, UsageError, require
from cluscomp.files import atomic_json
from cluscomp.folders import new_folder
from cluscomp.progress import Progress
from cluscomp.resume import first_difference
from cluscomp.training.checkpoint import REPORT_NAME, RunState, check_output, prepare
from cluscomp.training.crisp.model import embed, maxsim_scores, set_max_length
from cluscomp.training.crisp.pairs import Pairs, batches
from cluscomp.training.crisp.pooling import PoolingRule, gather_padded, pool_padded
from cluscomp.training.distributed import (
    all_reduce,
    average_gradients,
    barrier,
    rank_and_size,
    start_processes,
)
from cluscomp.training.losses import contrastive_loss
from cluscomp.training.stage import StepReport
from cluscomp.training.training_set import load_training_set

if TYPE_CHECKING:
    from torch import Tensor


_STEPS = "steps"  # name of the checkpoint


@dataclass(frozen=True)
class CrispSettings:
    """The settings on which the result of a training depends.

    documents, queries: how each side is pooled. epochs over all pairs; batch_size pairs a step, whose
    documents are each other's negatives. learning_rate: at its highest, after `warmup` (share of all steps),
    then down to 0 in a line. scale: factor of scores in the softmax. weight_decay: of AdamW. max_length:
    tokens read of a text while training, None as many as the model reads. seed: of the order, of dropout and
    of k-means.
    """

    documents: PoolingRule = field(default_factory=lambda: PoolingRule(vectors=8))
    queries: PoolingRule = field(default_factory=PoolingRule)
    epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    scale: float = 1.0
    max_length: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            checks.integer(name, getattr(self, name), lowest)
        for name in ("learning_rate", "scale"):
            checks.number(name, getattr(self, name), above=0)
        checks.number("warmup", self.warmup, low=0, below=1)
        checks.number("weight_decay", self.weight_decay, low=0)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0."""
        rising = max(1, round(self.warmup * steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (steps - step) / max(1, steps - rising)


@dataclass(frozen=True)
class CrispReport:
    """What a training did, or, of a dry run, would do. losses: of every step, empty for a dry run."""

    settings: dict[str, Any]
    pairs: int
    steps: int
    losses: list[float]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def train_crisp(
    corpus: str | Path,
    encoder: str,
    output: str | Path,
    settings: CrispSettings | None = None,
    *,
    split: str = "train",
    if_exists: str = "fail",
    dry_run: bool = False,
    save_every: int = 25,
    device: str | None = None,
    progress: Progress | None = None,
    report: StepReport | None = None,
) -> CrispReport:
    """Fine-tune `encoder` on judged pairs and write a folder that MultiVectorEncoder loads.

    corpus: as in `load_training_set`. encoder: as in `load_token_model`. output: the trained model; it gives
    unpooled vectors, which an index pools by its key (Pool8,...) and `ClusterPooling` inside
    sentence-transformers. if_exists: "fail"; "replace" an earlier training; "resume" an unfinished one (or
    keep a finished one of the same settings). save_every: steps between checkpoints, which stand beside the
    output; a resumed training gives the bits of one that was not stopped.

    Under torchrun or accelerate every process trains on its share of each batch, and the first one writes and
    reports; output and checkpoints lie in a folder that all of them see. A program calls `stop_processes()`
    after its last training.

    Raises UsageError (also for batches that the processes cannot share equally), OutputExistsError,
    TooFewRowsError (less than one batch), what `load_training_set` and `load_token_model` raise.
    """
    from cluscomp.encoders.token_model import load_token_model

    require("torch", extra="train", why="training")
    settings = settings or CrispSettings()
    start_processes(device)
    rank, size = rank_and_size()
    if settings.batch_size % size:
        raise UsageError(
            f"batches of {settings.batch_size} pairs cannot be shared equally by {size} processes; choose a "
            f"batch size that is a multiple of {size}"
        )
    output = checks.path("output", output)
    identity = {"method": "crisp", "encoder": encoder, "corpus": Path(corpus).name, "split": split}
    identity |= asdict(settings)
    finished = _finished(output, if_exists, identity)
    if finished is not None:
        return finished
    check_output(output, if_exists)
    pairs = Pairs.of(load_training_set(corpus, split=split, pseudo_queries="none"))
    plan = batches(len(pairs), settings.batch_size, settings.epochs, settings.seed)
    if dry_run:
        return CrispReport(identity, len(pairs), len(plan), [])
    if rank == 0:
        prepare(output, if_exists)
    else:
        progress = report = None
    barrier()
    state = RunState(output, identity)
    model = load_token_model(encoder, device=device)
    losses = _fit(model, pairs, plan, settings, state, save_every, progress, report)
    outcome = CrispReport(identity, len(pairs), len(plan), losses)
    if rank == 0:
        _write(model, outcome, output)
        state.remove()
    barrier()
    return outcome


def _write(model: Any, outcome: CrispReport, output: Path) -> None:
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    with new_folder(output, 2 * weights) as folder:
        model.save(str(folder))
        atomic_json(folder / REPORT_NAME, outcome.to_json())


def _finished(output: Path, if_exists: str, identity: dict[str, Any]) -> CrispReport | None:
    """The finished training that `resume` finds; None when there is work to do."""
    report = output / REPORT_NAME
    if if_exists != "resume" or not report.is_file():
        return None
    found = json.loads(report.read_text(encoding="utf-8"))
    difference = first_difference(found.get("settings"), json.loads(json.dumps(identity)))
    if difference is not None:
        raise OutputExistsError(
            f"{output} was trained with other settings ({difference}); choose another path or replace it"
        )
    return CrispReport(**found)


def _fit(
    model: Any,
    pairs: Pairs,
    plan: list[np.ndarray],
    settings: CrispSettings,
    state: RunState,
    save_every: int,
    progress: Progress | None,
    report: StepReport | None,
) -> list[float]:
    torch = require("torch", extra="train", why="training")
    limit = set_max_length(model, settings.max_length or int(model.max_seq_length))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    done, losses = _restore(state, model, optimizer)
    model.train()
    for step in range(done, len(plan)):
        _seed_everything(settings.seed, step)  # so that a resumed step drops the same units
        loss = batch_loss(model, pairs, plan[step], settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients([p for p in model.parameters() if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step, len(plan))
        optimizer.step()
        losses.append(float(all_reduce(loss.detach(), "sum")) / rank_and_size()[1])
        if (step + 1) % save_every == 0 and step + 1 < len(plan):
            _keep(state, step + 1, losses, model, optimizer)
        if report is not None:
            report("train", step + 1, {"loss": losses[-1]})
        if progress is not None:
            progress("train", step + 1, len(plan))
    model.eval()
    model.max_seq_length = limit
    return losses


def _keep(state: RunState, steps: int, losses: list[float], model: Any, optimizer: Any) -> None:
    """Write the weights and the optimizer's moments after some steps; the first process does."""
    if rank_and_size()[0] > 0:
        barrier()
        return
    arrays = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    state.save(_STEPS, arrays, {"steps": steps, "losses": losses})
    barrier()


def _restore(state: RunState, model: Any, optimizer: Any) -> tuple[int, list[float]]:
    """Put what `_keep` wrote into model and optimizer: the steps and their losses, (0, []) without."""
    kept = state.load(_STEPS)
    if kept is None:
        return 0, []
    moments: dict[int, dict[str, Any]] = {}
    for key, value in kept[0].items():
        if key.startswith("optimizer."):
            number, _, name = key.removeprefix("optimizer.").partition(".")
            moments.setdefault(int(number), {})[name] = value
    weights = {k.removeprefix("model."): v for k, v in kept[0].items() if k.startswith("model.")}
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(kept[1]["steps"]), list(kept[1]["losses"])


def batch_loss(model: Any, pairs: Pairs, chosen: np.ndarray, settings: CrispSettings) -> Tensor:
    """The contrastive loss of a batch, both sides pooled; further positives of a query count as neither.

    With several processes, that of the queries which are this one's, against the documents of all.
    """
    import torch

    rank, size = rank_and_size()
    share = len(chosen) // size
    mine = slice(rank * share, (rank + 1) * share)
    texts, own_pairs = pairs.texts, chosen[mine]
    queries = embed(model, [texts.queries[i] for i in pairs.queries[own_pairs]], "query")
    documents = embed(model, [texts.documents[i] for i in pairs.documents[own_pairs]], "document")
    scores = maxsim_scores(
        *pool_padded(*queries, settings.queries),
        *gather_padded(*pool_padded(*documents, settings.documents)),
    )
    own = torch.eye(len(chosen), dtype=torch.bool, device=scores.device)[mine]
    relevant = torch.from_numpy(pairs.relevant(chosen)[mine]).to(scores.device)
    return contrastive_loss(scores * settings.scale, own, relevant & ~own)


def _seed_everything(seed: int, step: int) -> None:
    import torch

    rank, _ = rank_and_size()
    entropy = (seed, step, rank) if rank else (seed, step)  # processes drop different units
    state = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(state)
    torch.manual_seed(state)
