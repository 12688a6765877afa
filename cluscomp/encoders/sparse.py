"""Models of learned sparse vectors (SPLADE and its kin): sentence-transformers' SparseEncoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cluscomp.encoders.base import EncoderInfo, check_texts
from cluscomp.encoders.dense import forward_passes
from cluscomp.encoders.fingerprint import settings_fingerprint
from cluscomp.progress import Progress
from cluscomp.terms import TermRows


class SparseTermEncoder:
    """Weighted terms of texts; a term is a token of the model's vocabulary."""

    def __init__(
        self, model: Any, name: str, *, batch_size: int = 64, max_seq_length: int | None = None
    ) -> None:
        model.eval()
        if max_seq_length is not None:
            model.max_seq_length = max_seq_length
        self.model, self._batch_size = model, batch_size
        vocabulary = {number: token for token, number in model.tokenizer.get_vocab().items()}
        dim = int(model.get_sentence_embedding_dimension() or len(vocabulary))
        self._vocabulary = [vocabulary.get(column, f"[{column}]") for column in range(dim)]
        settings: dict[str, Any] = {
            "kind": "sparse",
            "dim": dim,
            "normalize": False,
            "query_prompt": str((model.prompts or {}).get("query") or ""),
            "document_prompt": str((model.prompts or {}).get("document") or ""),
            "max_seq_length": model.max_seq_length,
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
        lengths, numbers, values = [], [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
        for start in range(0, len(checked), self._batch_size):
            batch = checked[start : start + self._batch_size]
            with forward_passes(self.model.device, False):
                rows = encode(batch, convert_to_sparse_tensor=False, show_progress_bar=False)
            dense = rows.cpu().float().numpy()
            at, columns = np.nonzero(dense)
            lengths.append(np.bincount(at, minlength=len(batch)))
            numbers.append(columns)
            values.append(dense[at, columns])
            if progress is not None:
                progress("encode", start + len(batch), len(checked))
        counts = np.concatenate([np.empty(0, dtype=np.int64), *lengths])
        return TermRows.of(self._vocabulary, counts, np.concatenate(numbers), np.concatenate(values))
