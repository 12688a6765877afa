"""Dense encoders: one vector a text, by a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.encoders.base import EncoderInfo, check_texts
from cluscomp.encoders.batching import (
    TOKENS_PER_CPU_BATCH,
    cpu_workers,
    length_sorted_batches,
    one_torch_thread_each,
    run_batches,
)
from cluscomp.encoders.fingerprint import settings_fingerprint
from cluscomp.errors import NonFiniteError, UsageError
from cluscomp.progress import Progress
from cluscomp.vocabulary import Side

# Names under which models store the prompt of a side, in sentence-transformers' own order.
PROMPT_NAMES: dict[Side, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


class DenseEncoder:
    """A sentence-transformers model behind the `Encoder` protocol.

    model: a loaded SentenceTransformer. batch_size: most texts in one forward pass; on a CPU passes are
    further held to some hundred tokens. max_seq_length, query_prompt, document_prompt: None keeps the
    model's own. Vectors equal those of model.encode_query / encode_document to about 1e-6, for any batch
    size and order of texts. bf16: forward passes in bfloat16 where the operators have it (autocast of
    torch); the vectors are float32, but less exact, and the encoder is another one by its fingerprint.
    Raises UsageError for settings that the model cannot have.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        *,
        batch_size: int = 64,
        max_seq_length: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        bf16: bool = False,
    ) -> None:
        if max_seq_length is not None:
            set_max_seq_length(model, max_seq_length)
        model.eval()
        self.model = model
        self.batch_size = checks.integer("batch_size", batch_size, 1)
        self.bf16 = bf16
        self._prompts: dict[Side, str] = {
            "query": _prompt(model, "query", query_prompt),
            "document": _prompt(model, "document", document_prompt),
        }
        self._info = _describe(model, name, self._prompts, bf16)

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of documents, (n, dim) float32. Raises DTypeError, InputError, NonFiniteError."""
        return self._encode(texts, "document", progress)

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of queries, (n, dim) float32. Raises DTypeError, InputError, NonFiniteError."""
        return self._encode(texts, "query", progress)

    def encode_queries_apart(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode_queries` of each text alone, bit for bit, several at a time."""
        return self._encode(texts, "query", None, batch_size=1)

    def _encode(
        self, texts: Sequence[str], side: Side, progress: Progress | None, batch_size: int | None = None
    ) -> np.ndarray:
        checked = check_texts(texts)
        vectors = np.empty((len(checked), self._info.dim), np.float32)
        with closing(self.run(checked, side, self._forward, progress, batch_size)) as outputs:
            for batch, rows in outputs:
                _check_finite(rows, batch)
                vectors[batch] = rows
        return vectors

    def run(
        self,
        texts: list[str],
        side: Side,
        forward: Callable[[Any, Side], Any],
        progress: Progress | None,
        batch_size: int | None = None,
    ) -> Generator[tuple[list[int], Any], None, None]:
        """Numbers of the texts of each batch, and what `forward` makes of it. Who leaves it early closes it.

        forward(features, side): features are what the model takes; it runs on worker threads. batch_size:
        None is that of the encoder.
        """
        on_cpu = self.model.device.type == "cpu"
        batches = length_sorted_batches(
            texts,
            batch_size=self.batch_size if batch_size is None else batch_size,
            max_tokens=TOKENS_PER_CPU_BATCH if on_cpu else None,
            max_seq_length=self._info.max_seq_length,
        )
        done = 0
        with one_torch_thread_each() if on_cpu else nullcontext():
            outputs = run_batches(
                batches,
                lambda batch: self.tokenize([texts[i] for i in batch], side),
                lambda features: forward(features, side),
                workers=cpu_workers() if on_cpu else 1,
            )
            with closing(outputs):
                for batch, output in outputs:
                    yield batch, output
                    done += len(batch)
                    if progress is not None:
                        progress("encode", done, len(texts))

    def tokenize(self, texts: list[str], side: Side) -> Any:
        """What the model takes for texts with the prompt of a side."""
        return self.model.preprocess(texts, prompt=self._prompts[side], task=side)

    def _forward(self, features: Any, side: Side) -> np.ndarray:
        """Sentence embeddings of one tokenized batch, (batch, dim) float32."""
        from sentence_transformers.util import batch_to_device

        device = self.model.device
        with forward_passes(device, self.bf16):
            features = batch_to_device(features, device)
            rows = self.model(features, task=side)["sentence_embedding"]
            return rows[:, : self._info.dim].float().cpu().numpy()


@contextmanager
def forward_passes(device: Any, bf16: bool) -> Iterator[None]:
    """No gradients inside; bf16: operators that have it compute in bfloat16 (autocast of torch)."""
    import torch

    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        yield


def _check_finite(rows: np.ndarray, batch: list[int]) -> None:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise NonFiniteError(
            f"the encoder gives NaN or infinity for text {batch[bad[0]]}; "
            "the model's weights are damaged or overflow in half precision: load it in float32"
        )


def _prompt(model: Any, side: Side, given: str | None) -> str:
    """The text before every input of a side: the caller's, else the model's, else its default, else none."""
    if given is not None:
        return given
    stored = model.prompts or {}
    for name in PROMPT_NAMES[side]:
        if name in stored:
            return stored[name] or ""
    return stored.get(model.default_prompt_name) or ""


def set_max_seq_length(model: Any, length: int) -> None:
    """Let the model read so many tokens of a text. Raises UsageError for a number that it cannot have."""
    limit = _position_limit(model)
    if limit is not None and length > limit:
        raise UsageError(f"max_seq_length is {length}, but the model has positions for {limit} tokens")
    special = _special_tokens(model)
    if length <= special:
        raise UsageError(
            f"max_seq_length is {length}, but every text takes {special} special tokens and 1 of its own"
        )
    model.max_seq_length = length


def _position_limit(model: Any) -> int | None:
    """Most tokens that the model has positions for; None when it has no such limit."""
    config: Any = getattr(model[0], "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return None
    # RoBERTa counts positions from pad_token_id + 1, so that many of them are never used.
    offset = config.pad_token_id + 1 if "roberta" in str(config.model_type) else 0
    return int(positions) - offset


def _special_tokens(model: Any) -> int:
    count = getattr(model.tokenizer, "num_special_tokens_to_add", None)
    return 0 if count is None else int(count())


def max_seq_length_of(model: Any) -> int | None:
    """Tokens that the model reads of a text; None when it reads all (libraries say 1e30 or so)."""
    length = model.max_seq_length
    return None if length is None or length > 10**9 else int(length)


def _normalizes(model: Any) -> bool:
    steps = list(model.children())
    return type(steps[-1]).__name__ == "Normalize" and model.truncate_dim is None


def _describe(model: Any, name: str, prompts: dict[Side, str], bf16: bool) -> EncoderInfo:
    settings: dict[str, Any] = {
        "kind": "dense",
        "dim": int(model.get_embedding_dimension()),
        "normalize": _normalizes(model),
        "query_prompt": prompts["query"],
        "document_prompt": prompts["document"],
        "max_seq_length": max_seq_length_of(model),
    }
    return EncoderInfo(
        name=name, fingerprint=settings_fingerprint(model, settings, bf16), bf16=bf16, **settings
    )
