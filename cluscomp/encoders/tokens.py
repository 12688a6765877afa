"""Encoders of several vectors a text: token outputs of a dense model, and sentence-transformers' multi-vector
models.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.encoders.base import EncoderInfo, check_texts
from cluscomp.encoders.dense import DenseEncoder, forward_passes
from cluscomp.encoders.fingerprint import settings_fingerprint
from cluscomp.errors import NonFiniteError
from cluscomp.progress import Progress
from cluscomp.vocabulary import Side

VectorsAndLengths = tuple[np.ndarray, np.ndarray]


class TokenEncoder:
    """The last hidden states of a dense model, one unit vector a token, special tokens included.

    dense: the encoder whose model, prompts and lengths are used. What `encode_documents` and `encode_queries`
    return is ragged: vectors (N, dim) float32 of all texts below each other, and lengths (n,) int64.
    """

    def __init__(self, dense: DenseEncoder) -> None:
        self._dense, self.model = dense, dense.model
        self._info = _token_info(dense)

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder; kind is "tokens"."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> VectorsAndLengths:
        """Token vectors of documents. Raises DTypeError, InputError, NonFiniteError."""
        return self._encode(texts, "document", progress)

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> VectorsAndLengths:
        """Token vectors of queries. Raises DTypeError, InputError, NonFiniteError."""
        return self._encode(texts, "query", progress)

    def encode_queries_apart(self, texts: Sequence[str]) -> VectorsAndLengths:
        """As `encode_queries` of each text alone, bit for bit, several at a time."""
        return self._encode(texts, "query", None, batch_size=1)

    def tokens(self, text: str, side: Side) -> list[str]:
        """Words of the vocabulary behind the vectors of a text, one a vector."""
        features = self._dense.tokenize([text], side)
        kept = features["attention_mask"][0].bool()
        words: list[str] = self.model.tokenizer.convert_ids_to_tokens(features["input_ids"][0][kept].tolist())
        return words

    def _encode(
        self, texts: Sequence[str], side: Side, progress: Progress | None, batch_size: int | None = None
    ) -> VectorsAndLengths:
        checked = check_texts(texts)
        found: list[np.ndarray] = [np.empty((0, self._info.dim), np.float32)] * len(checked)
        with closing(self._dense.run(checked, side, self._forward, progress, batch_size)) as outputs:
            for batch, parts in outputs:
                for number, rows in zip(batch, parts, strict=True):
                    found[number] = normalize_rows(rows)
        return joined(found, self._info.dim)

    def _forward(self, features: Any, side: Side) -> list[np.ndarray]:
        return _token_outputs(self._dense, features, side)


class MultiVectorTextEncoder:
    """A MultiVectorEncoder of sentence-transformers (ColBERT and its kin) behind the ragged form of
    `TokenEncoder`. bf16: as for `DenseEncoder`.
    """

    def __init__(self, model: Any, name: str, *, batch_size: int = 64, bf16: bool = False) -> None:
        model.eval()
        self.model, self._batch_size, self._bf16 = model, batch_size, bf16
        dim = int(_as_arrays(model.encode_document(["a"], convert_to_numpy=True))[0].shape[1])
        settings: dict[str, Any] = {
            "kind": "multivector",
            "dim": dim,
            "normalize": True,
            "query_prompt": str((model.prompts or {}).get("query") or ""),
            "document_prompt": str((model.prompts or {}).get("document") or ""),
            "max_seq_length": _length_limit(model),
        }
        fingerprint = settings_fingerprint(model, settings, bf16)
        self._info = EncoderInfo(name=name, fingerprint=fingerprint, bf16=bf16, **settings)

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder; kind is "multivector"."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> VectorsAndLengths:
        """Vectors of documents. Raises DTypeError, InputError, NonFiniteError."""
        return self._encode(self.model.encode_document, texts, progress)

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> VectorsAndLengths:
        """Vectors of queries. Raises DTypeError, InputError, NonFiniteError."""
        return self._encode(self.model.encode_query, texts, progress)

    def _encode(self, encode: Any, texts: Sequence[str], progress: Progress | None) -> VectorsAndLengths:
        checked = check_texts(texts)
        found: list[np.ndarray] = []
        for start in range(0, len(checked), self._batch_size):
            batch = checked[start : start + self._batch_size]
            with forward_passes(self.model.device, self._bf16):
                found += _as_arrays(encode(batch, convert_to_numpy=True, show_progress_bar=False))
            if progress is not None:
                progress("encode", len(found), len(checked))
        return joined(found, self._info.dim)


def joined(parts: Sequence[np.ndarray], dim: int) -> VectorsAndLengths:
    """Ragged form of one matrix a text; NonFiniteError naming the text whose vectors are no numbers."""
    for number, rows in enumerate(parts):
        if not np.isfinite(rows).all():
            raise NonFiniteError(
                f"the encoder gives NaN or infinity for text {number}; the model's weights are damaged or "
                "overflow in half precision: load it in float32"
            )
    lengths = np.array([rows.shape[0] for rows in parts], dtype=np.int64)
    return np.concatenate([np.empty((0, dim), np.float32), *parts]), lengths


def _token_outputs(dense: DenseEncoder, features: Any, side: Side) -> list[np.ndarray]:
    """Hidden states of the tokens of each text of a tokenized batch; runs on a worker thread."""
    from sentence_transformers.util import batch_to_device

    with forward_passes(dense.model.device, dense.bf16):
        features = batch_to_device(features, dense.model.device)
        outputs = dense.model(features, task=side)
        rows = outputs["token_embeddings"].float().cpu().numpy()
        mask = outputs["attention_mask"].bool().cpu().numpy()
        return [states[kept] for states, kept in zip(rows, mask, strict=True)]


def _token_info(dense: DenseEncoder) -> EncoderInfo:
    probe = _token_outputs(dense, dense.tokenize(["a"], "document"), "document")
    settings: dict[str, Any] = {
        "kind": "tokens",
        "dim": int(probe[0].shape[1]),
        "normalize": True,
        "query_prompt": dense.info.query_prompt,
        "document_prompt": dense.info.document_prompt,
        "max_seq_length": dense.info.max_seq_length,
    }
    fingerprint = settings_fingerprint(dense.model, settings, dense.bf16)
    return EncoderInfo(name=dense.info.name, fingerprint=fingerprint, bf16=dense.bf16, **settings)


def _as_arrays(parts: Any) -> list[np.ndarray]:
    return [np.ascontiguousarray(part, dtype=np.float32) for part in parts]


def _length_limit(model: Any) -> int | None:
    length = getattr(model, "max_seq_length", None)
    return int(length) if isinstance(length, int) and length < 10**9 else None
