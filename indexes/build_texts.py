"""What encoding a corpus will cost: measured on a few of its own texts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cluscomp.indexes.build_costs import TextShape
from cluscomp.indexes.build_documents import CorpusFacts

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder

# Bytes that a transformer holds at once for each value of its hidden state, by measurement (all-MiniLM-L6-v2,
# 256 tokens, batch 64, torch 2.13 on a CPU): attention and feed-forward buffers, and what torch's allocator
# keeps.
ACTIVATION_BYTES = 60
DEFAULT_LENGTH = 512
DEFAULT_BATCH = 64
CHARACTERS_PER_TOKEN = 4


def text_costs(facts: CorpusFacts, encoder: Encoder, store: bool) -> TextShape:
    """Sizes of the corpus, and time and memory that the encoder will need for it."""
    from cluscomp.encoders.cache import BLOCK_TEXTS

    info = encoder.info
    length = min(info.max_seq_length or DEFAULT_LENGTH, facts.longest // CHARACTERS_PER_TOKEN + 16)
    batch = min(getattr(encoder, "batch_size", DEFAULT_BATCH), facts.n)
    texts = min(BLOCK_TEXTS, facts.n) * (4 * facts.characters // facts.n + 4 * info.dim)
    return TextShape(
        characters=facts.characters,
        longest=facts.longest,
        store=store,
        encode_bytes=batch * length * info.dim * ACTIVATION_BYTES + texts,
        encode_rows=min(BLOCK_TEXTS, facts.n),
        seconds=_seconds_each(facts, encoder) * facts.n,
    )


def _seconds_each(facts: CorpusFacts, encoder: Encoder) -> float:
    """Time of one document, from encoding the sample once to warm up and once for the clock."""
    texts = list(facts.sample)
    encoder.encode_documents(texts[:2])
    start = time.perf_counter()
    encoder.encode_documents(texts)
    return (time.perf_counter() - start) / len(texts)
