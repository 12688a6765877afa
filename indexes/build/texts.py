"""What encoding a corpus will cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cluscomp.indexes.build.costs import TextShape
from cluscomp.indexes.storage.texts import CorpusFacts

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder

# Bytes that a transformer on a CPU holds for each token and dimension of its hidden state while two batches a
# thread are under way, by measurement (all-MiniLM-L6-v2, torch 2.13, two threads: 140): attention,
# feed-forward,
# allocator.
ACTIVATION_BYTES = 200
BATCHES_PER_THREAD = 2


def text_costs(facts: CorpusFacts, encoder: Encoder, store: bool, *, timed: bool) -> TextShape:
    """Sizes of the corpus, and memory and time that the encoder will need for it.

    timed: measure the time, which means encoding some of the texts; else it counts as 0.
    """
    from cluscomp import native
    from cluscomp.encoders.batching import TOKENS_PER_CPU_BATCH
    from cluscomp.encoders.cache import BLOCK_TEXTS

    tokens = max(TOKENS_PER_CPU_BATCH, encoder.info.max_seq_length or 0)
    tokens *= BATCHES_PER_THREAD * native.get_num_threads()
    block = min(BLOCK_TEXTS, facts.n) * (4 * facts.characters // facts.n + 4 * encoder.info.dim)
    return TextShape(
        characters=facts.characters,
        longest=facts.longest,
        store=store,
        encode_bytes=tokens * encoder.info.dim * ACTIVATION_BYTES + block + _cast_bytes(encoder),
        seconds=_seconds_each(facts, encoder) * facts.n if timed else 0.0,
    )


def _cast_bytes(encoder: Encoder) -> int:
    """Copies of the weights in bfloat16, which each thread makes in its forward pass."""
    from cluscomp.encoders.batching import cpu_workers

    model = getattr(encoder, "model", None)
    if not encoder.info.bf16 or model is None:
        return 0
    return 2 * cpu_workers() * sum(parameter.numel() for parameter in model.parameters())


def _seconds_each(facts: CorpusFacts, encoder: Encoder) -> float:
    """Time of one document, from encoding the sample once to warm up and once for the clock."""
    texts = list(facts.sample)
    encoder.encode_documents(texts[:2])
    start = time.perf_counter()
    encoder.encode_documents(texts)
    return (time.perf_counter() - start) / len(texts)
