"""Settings of `train_repconc`, checked before anything is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.vocabulary import JPQ_LOSSES


@dataclass(frozen=True)
class Settings:
    """How to train. Learning rates fall linearly to 0 after a warm-up over the first 5 % of a stage.

    m, nbits: of the codec. seed: of everything random. batch_size: queries a step, over all processes.
    scale: of inner products in losses; None: 20 for encoders that normalise, else 1.

    Joint stage (encoder and centroids, codes change): joint_epochs (0, the default, leaves it out; may be a
    fraction), negatives a query, drawn from the mined hard ones; joint_lr; document_tokens of a document;
    balance_rows: documents of one transport problem, filled up from vectors remembered of other documents
    where a batch has fewer; epsilon: of the transport, relative to half the range of distances;
    transport_iterations at most; error_weight: lambda, times the mean squared error over the documents of
    all processes, relative to the mean squared length of the vectors; constrained: False takes the nearest
    centroids in place of balanced ones, to measure what the constraint is worth.

    Second stage (JPQ: query tower and query centroids, document codes frozen): jpq_epochs (0 leaves it out),
    jpq_lr, jpq_loss "list" or "pair", live_negatives: of each query, retrieved again in each step.
    distill_weight: ListNet towards the scores of uncompressed vectors.

    centroid_lr: of both stages, times the root mean square of the centroids. query_tokens read of a query.
    topics: batches of queries about one topic (TAS). chunk: texts whose activations are held at once
    (gradient cache); None: all. bf16: forward passes in bfloat16. checkpoint_steps: between checkpoints.
    """

    m: int
    nbits: int = 8
    seed: int = 0
    batch_size: int = 32
    scale: float | None = None
    joint_epochs: float = 0.0
    joint_lr: float = 2e-5
    negatives: int = 1
    mined: int = 200
    document_tokens: int = 128
    balance_rows: int = 1024
    epsilon: float = 0.01
    transport_iterations: int = 100
    error_weight: float = 1.0
    constrained: bool = True
    jpq_epochs: float = 2.0
    jpq_lr: float = 5e-5
    jpq_loss: str = "list"
    live_negatives: int = 200
    distill_weight: float = 0.0
    centroid_lr: float = 0.01
    query_tokens: int = 64
    topics: bool = False
    chunk: int | None = None
    bf16: bool = False
    checkpoint_steps: int = 50

    def __post_init__(self) -> None:
        for name in ("m", "batch_size", "mined", "live_negatives", "checkpoint_steps", "balance_rows"):
            checks.integer(name, getattr(self, name), 1)
        for name in ("seed", "negatives"):
            checks.integer(name, getattr(self, name), 0)
        for name in ("joint_epochs", "jpq_epochs", "error_weight", "distill_weight"):
            checks.number(name, getattr(self, name), low=0)
        for name in ("query_tokens", "document_tokens"):
            checks.integer(name, getattr(self, name), 3)
        for name in ("joint_lr", "jpq_lr", "centroid_lr", "epsilon"):
            checks.number(name, getattr(self, name), above=0)
        if self.joint_epochs == 0 and self.jpq_epochs == 0:
            raise UsageError("joint_epochs and jpq_epochs are both 0: nothing would be trained")
        checks.one_of("jpq_loss", self.jpq_loss, JPQ_LOSSES)
        if self.chunk is not None:
            checks.integer("chunk", self.chunk, 1)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)
