"""Models of learned sparse vectors (SPLADE and its kin): sentence-transformers' SparseEncoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.encoders.base import EncoderInfo, check_texts
from cluscomp.encoders.batching import length_sorted_batches
from cluscomp.encoders.dense import forward_passes, max_seq_length_of, set_max_seq_length
from cluscomp.encoders.fingerprint import settings_fingerprint
from cluscomp.progress import Progress
from cluscomp.terms import TermRows

FORWARD_BYTES = 512 << 20
"""About the memory of a forward pass: such models score all columns for each token."""
_SCORE_BYTES = 16  # of a column for a token: scores, and their copies behind each step


class SparseTermEncoder:
    """Weighted terms of texts; a term is a token of the model's vocabulary."""

    def __init__(
        self, model: Any, name: str, *, batch_size: int = 64, max_seq_length: int | None = None
    ) -> None:
        model.eval()
        if max_seq_length is not None:
            set_max_seq_length(model, max_seq_length)
        self.model, self._batch_size = model, checks.integer("batch_size", batch_size, 1)
        # What the model says of its dimension may be that of its layers until it has encoded something.
        dim = self._dense(model.encode_document, [""]).shape[1]
        self._vocabulary = _columns(model, dim)
        settings: dict[str, Any] = {
            "kind": "sparse",
            "dim": dim,
            "normalize": False,
            "query_prompt": str((model.prompts or {}).get("query") or ""),
            "document_prompt": str((model.prompts or {}).get("document") or ""),
            "max_seq_length": max_seq_length_of(model),
        }
        self._info = EncoderInfo(
            name=name, fingerprint=settings_fingerprint(model, settings, False), **settings
        )

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder; kind is "sparse"."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """Weighted terms of documents. Raises UsageError, DTypeError, InputError, NonFiniteError."""
        return self._encode(self.model.encode_document, texts, progress)

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """Weighted terms of queries. Raises UsageError, DTypeError, InputError, NonFiniteError."""
        return self._encode(self.model.encode_query, texts, progress)

    def _encode(
        self, encode: Callable[..., Any], texts: Sequence[str], progress: Progress | None
    ) -> TermRows:
        checked = check_texts(texts)
        order, lengths = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        numbers, values = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
        done = 0
        for batch in self._batches(checked):
            dense = self._dense(encode, [checked[i] for i in batch])
            at, columns = np.nonzero(dense)
            order.append(np.array(batch))
            lengths.append(np.bincount(at, minlength=len(batch)))
            numbers.append(columns)
            values.append(dense[at, columns])
            done += len(batch)
            if progress is not None:
                progress("encode", done, len(checked))
        joined = (np.concatenate(parts) for parts in (lengths, numbers, values))
        return TermRows.of(self._vocabulary, *joined)[np.argsort(np.concatenate(order))]

    def _batches(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Places of texts whose padded tokens fit FORWARD_BYTES with scores of all columns; at least one."""
        return length_sorted_batches(
            texts,
            batch_size=self._batch_size,
            max_tokens=FORWARD_BYTES // (_SCORE_BYTES * self._info.dim),
            max_seq_length=self._info.max_seq_length,
        )

    def _dense(self, encode: Callable[..., Any], batch: list[str]) -> np.ndarray:
        """Weights (n, columns) of a few texts."""
        with forward_passes(self.model.device, False):
            rows = encode(batch, convert_to_sparse_tensor=False, show_progress_bar=False)
        return np.asarray(rows.cpu().float().numpy())


def _columns(model: Any, dim: int) -> list[str]:
    """Names of the columns: tokens, where columns are those of the tokenizer; else their numbers in brackets,
    as of a sparse autoencoder, whose columns mean no token.
    """
    tokens = {number: token for token, number in model.tokenizer.get_vocab().items()}
    learned = any(type(module).__name__ == "SparseAutoEncoder" for module in model.children())
    known = {} if learned or dim < len(tokens) else tokens
    return [known.get(column, f"[{column}]") for column in range(dim)]
