"""train_repconc: from texts and relevant pairs to an encoder and a codec that were made for each other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import __version__, checks
from cluscomp.encoders import encode_cached, encode_to_file, load_encoder
from cluscomp.encoders.dense import DenseEncoder
from cluscomp.errors import require
from cluscomp.progress import Progress, as_stage
from cluscomp.quantization.codebooks import check_split
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.quantization.product import ProductQuantizer
from cluscomp.quantization.rotation import rotate_rows
from cluscomp.training.checkpoint import RunState, prepare
from cluscomp.training.distributed import barrier, rank_and_size, start_processes
from cluscomp.training.export import export
from cluscomp.training.optimizer import Optimizer
from cluscomp.training.repconc.codec import TrainableCodec
from cluscomp.training.repconc.joint import JointStage, Memory
from cluscomp.training.repconc.jpq import JpqStage, Teacher
from cluscomp.training.repconc.live_index import LiveIndex
from cluscomp.training.repconc.mining import hard_negatives
from cluscomp.training.repconc.tas_balanced import TopicBatches
from cluscomp.training.repconc.tower import TextTower
from cluscomp.training.repconc.two_towers import query_parameters, with_query_tower
from cluscomp.training.settings import Settings
from cluscomp.training.stage import Metrics, Order, StepReport, n_steps, run_stage, shuffled
from cluscomp.training.training_set import TrainingSet, load_training_set

if TYPE_CHECKING:
    from cluscomp.vocabulary import Side

NORMALIZED_SCALE = 20.0


@dataclass(frozen=True)
class TrainingReport:
    """What `train_repconc` did. data: counts. history: metrics of every step, by stage."""

    output: Path
    key: str
    data: dict[str, int]
    history: dict[str, list[Metrics]]

    def to_json(self) -> dict[str, Any]:
        """JSON values, the history as its first and last tenth."""
        return {
            "output": str(self.output),
            "key": self.key,
            "data": self.data,
            "stages": {name: summary(steps) for name, steps in self.history.items()},
        }


def train_repconc(
    source: Any,
    *,
    encoder: str,
    output: str | Path,
    split: str = "train",
    pseudo_queries: str = "auto",
    if_exists: str = "fail",
    device: str | None = None,
    progress: Progress | None = None,
    report: StepReport | None = None,
    **settings: Any,
) -> TrainingReport:
    """Train an encoder and a product codec jointly (RepCONC), then queries against frozen codes (JPQ).

    source, split, pseudo_queries: see `load_training_set`. encoder: as for `load_encoder`. output: the
    folder to make: `encoder/` (a sentence-transformers model; with a second stage queries have a tower of
    their own), `codec/` (a LearnedCodec) and `training.json`. if_exists: "fail", "replace", or "resume": go
    on with an unfinished run of the same settings, which gives what the uninterrupted run would have given.
    progress(stage, done, total); report(stage, step, metrics) after each step. settings: see `Settings`.

    The vectors of the corpus are held in memory or mapped (4 bytes times dimension a document). Under
    torchrun or accelerate every process trains on its share of each batch, and the first one writes and
    reports; a program calls `stop_processes()` after its last training.
    Raises UsageError, OutputExistsError, OptionalDependencyError, and the errors of reading and encoding.
    """
    require("torch", extra="train", why="training")
    run = _Run(Settings(**settings), checks.path("output", output), progress, report)
    return run(source, encoder, split, pseudo_queries, if_exists, device)


class _Run:
    """The stages in order; each takes its result from the state folder where that has it."""

    def __init__(
        self, settings: Settings, output: Path, progress: Progress | None, report: StepReport | None
    ) -> None:
        self.settings, self.output = settings, output
        self.is_first = rank_and_size()[0] == 0
        self.progress, self.report = progress, report
        self.history: dict[str, list[Metrics]] = {}

    def __call__(
        self, source: Any, encoder: str, split: str, pseudo_queries: str, if_exists: str, device: str | None
    ) -> TrainingReport:
        start_processes(device)
        data = load_training_set(source, split=split, pseudo_queries=pseudo_queries)
        base = load_encoder(encoder, device=device)
        assert isinstance(base, DenseEncoder)  # the only kind there is without `kind`
        check_split(base.info.dim, self.settings.m, self.settings.nbits)  # before minutes of encoding
        self.is_first = rank_and_size()[0] == 0
        if self.is_first:
            prepare(self.output, if_exists)
        else:
            self.progress = self.report = None
        barrier()
        identity = {"version": __version__, "encoder": base.info.fingerprint, "data": _digest(data)}
        self.state = RunState(self.output, {**identity, **self.settings.to_json()})
        self.data, self.base = data, base
        self.scale = self.settings.scale or (NORMALIZED_SCALE if base.info.normalize else 1.0)
        self.documents = self._vectors(base, data.documents, "document")
        self.queries = self._vectors(base, data.queries, "query")
        codec = self._warm_up()
        model = base.model
        if self.settings.joint_epochs > 0:
            self._joint(model, codec)
        document_centroids = codec.centroid_array()
        if self.settings.jpq_epochs > 0:
            model = self._jpq(model, codec)
        return self._finish(model, codec, document_centroids, encoder, split)

    def _vectors(self, encoder: DenseEncoder, texts: list[str], side: Side) -> np.ndarray:
        """Vectors of the untrained encoder; the first process makes them, the others find them."""
        stage = "documents" if side == "document" else "queries"

        if not self.is_first:
            barrier()
        vectors = encode_cached(encoder, texts, side=side, progress=self._show(stage))
        if self.is_first:
            barrier()
        return vectors

    def _warm_up(self) -> TrainableCodec:
        """Rotation and centroids by optimized product quantization of the untrained vectors."""
        kept = self.state.load("warm-up")
        barrier()  # so that no process finds what another has saved since
        if kept is None:
            quantizer = ProductQuantizer(
                self.base.info.dim, self.settings.m, self.settings.nbits, rotation="opq",
                seed=self.settings.seed,
            ).train(self.documents, progress=self._show("warm-up"))  # fmt: skip
            rotation = quantizer.rotation_
            assert rotation is not None  # "opq" learns one
            arrays: dict[str, Any] = {"rotation": rotation.matrix, "centroids": quantizer.centroids}
            if self.is_first:
                self.state.save("warm-up", arrays, {})
            barrier()
        else:
            arrays = kept[0]
        return TrainableCodec(arrays["rotation"], arrays["centroids"], device=str(self.base.model.device))

    def _joint(self, model: Any, codec: TrainableCodec) -> None:
        s = self.settings
        hard = hard_negatives(
            self.documents, self.queries, self.data.positives, codec, s.nbits, s.mined, self._show("mining")
        )
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        stage = JointStage(
            s, self.data, hard, Memory(self.documents), codec,
            queries=self._tower(model, "query"), documents=self._tower(model, "document"),
            optimizer=self._optimizer(parameters, codec, s.joint_lr, s.joint_epochs),
            scale=self.scale, square=float(np.square(self.documents, dtype=np.float64).sum(1).mean()),
        )  # fmt: skip
        model.train()
        self._run_stage(stage, s.joint_epochs)
        model.eval()
        trained = DenseEncoder(model, self.base.info.name, bf16=s.bf16)
        self.documents = self._encode_again(trained)
        if s.jpq_epochs > 0 and s.distill_weight > 0:
            self.queries = trained.encode_queries(self.data.queries, self._show("queries again"))

    def _encode_again(self, trained: DenseEncoder) -> np.ndarray:
        """Vectors of the trained encoder, kept with the state: a killed run goes on in the middle."""
        path = self.state.folder / "documents.npy"
        if not path.is_file() and self.is_first:
            encode_to_file(
                trained, self.data.documents, path, n=len(self.data.documents),
                progress=self._show("documents again"),
            )  # fmt: skip
        barrier()
        vectors: np.ndarray = np.load(path, mmap_mode="r")
        return vectors

    def _jpq(self, model: Any, codec: TrainableCodec) -> Any:
        s = self.settings
        model = with_query_tower(model)
        rotation = codec.rotation.cpu().numpy()
        rotated = rotate_rows(self.documents, rotation)
        index = LiveIndex(rotated, codec.centroid_array(), s.nbits)
        teacher = Teacher(self.queries, self.documents) if s.distill_weight > 0 else None
        optimizer = self._optimizer(query_parameters(model), codec, s.jpq_lr, s.jpq_epochs)
        stage = JpqStage(
            s, self.data, index, codec, self._tower(model, "query"), optimizer, teacher, scale=self.scale
        )
        model.train()
        self._run_stage(stage, s.jpq_epochs)
        model.eval()
        return model

    def _finish(
        self, model: Any, codec: TrainableCodec, document_centroids: np.ndarray, encoder: str, split: str
    ) -> TrainingReport:
        provenance = {"encoder": encoder, "split": split, **self.settings.to_json(), **self.data.describe()}
        learned = LearnedCodec(
            codec.rotation.cpu().numpy(), document_centroids, codec.centroid_array(), metric="ip",
            kind="repconc", provenance=provenance,
        )  # fmt: skip
        report = TrainingReport(
            self.output, f"RepCONC({self.output / 'codec'})", self.data.describe(), self.history
        )
        if self.is_first:
            facts = {**report.to_json(), "provenance": provenance, "history": self.history}
            export(self.output, model, learned, facts)
            self.state.remove()
        barrier()
        return report

    def _tower(self, model: Any, side: Side) -> TextTower:
        s, info = self.settings, self.base.info
        prompt = info.query_prompt if side == "query" else info.document_prompt
        length = s.query_tokens if side == "query" else s.document_tokens
        return TextTower(model, side, prompt=prompt, max_length=length, chunk=s.chunk, bf16=s.bf16)

    def _optimizer(self, parameters: Any, codec: TrainableCodec, lr: float, epochs: float) -> Optimizer:
        steps = n_steps(len(self.data.queries), self.settings.batch_size, epochs)
        return Optimizer(
            parameters, codec.centroids, lr=lr, centroid_lr=self.settings.centroid_lr, n_steps=steps
        )

    def _run_stage(self, stage: JointStage | JpqStage, epochs: float) -> None:
        s, n = self.settings, len(self.data.queries)
        self.history[stage.name] = run_stage(
            stage, steps=n_steps(n, s.batch_size, epochs), n_queries=n, batch_size=s.batch_size,
            order=self._order(), state=self.state, checkpoint_steps=s.checkpoint_steps,
            progress=self.progress, report=self.report,
        )  # fmt: skip

    def _order(self) -> Order:
        if self.settings.topics:
            return TopicBatches(self.queries, self.settings.batch_size, seed=self.settings.seed).order
        return shuffled(len(self.data.queries), self.settings.seed)

    def _show(self, stage: str) -> Progress | None:
        return as_stage(self.progress, stage)


def summary(steps: list[Metrics]) -> dict[str, Any]:
    """Number of steps, and the mean of each metric over their first and last tenth."""
    part = max(1, len(steps) // 10)
    return {
        "steps": len(steps),
        "first": {name: float(np.mean([m[name] for m in steps[:part]])) for name in steps[0]},
        "last": {name: float(np.mean([m[name] for m in steps[-part:]])) for name in steps[0]},
    }


def _digest(data: TrainingSet) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in (*data.documents, *data.queries):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(repr((data.positives, data.is_pseudo)).encode())
    return digest.hexdigest()
