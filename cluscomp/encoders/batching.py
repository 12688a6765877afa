"""Cutting texts into batches, and running batches on several threads.

On a CPU, one torch thread per batch and several batches at a time beat one batch spread over all cores:
operators of a small model are too short to be split (every one ends at a barrier, and a core that another
process holds makes all others wait), and batches of some hundred tokens keep the activations in the
cache.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

TOKENS_PER_CPU_BATCH = 512
CHARACTERS_PER_TOKEN = 4
"""Rough figure for sizing batches; results do not depend on it beyond float noise."""

_CPU_ENCODING = threading.Lock()


def length_sorted_batches(
    texts: Sequence[str], *, batch_size: int, max_tokens: int | None, max_seq_length: int | None
) -> Iterator[list[int]]:
    """Positions of the texts, longest first, in batches of similar length (so that little is padding).

    batch_size: most texts in a batch. max_tokens: most padded tokens in a batch, by estimate; None = no
    limit. Batches depend on the texts alone, not on threads: same input, same vectors, bit for bit.
    """
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i]))
    start = 0
    while start < len(order):
        tokens = _estimated_tokens(texts[order[start]], max_seq_length)
        size = batch_size if max_tokens is None else min(batch_size, max(1, max_tokens // tokens))
        yield order[start : start + size]
        start += size


def _estimated_tokens(text: str, max_seq_length: int | None) -> int:
    tokens = len(text) // CHARACTERS_PER_TOKEN + 2
    return tokens if max_seq_length is None else min(tokens, max_seq_length)


def run_batches(
    batches: Iterable[list[int]],
    prepare: Callable[[list[int]], Any],
    forward: Callable[[Any], Any],
    workers: int,
) -> Generator[tuple[list[int], Any], None, None]:
    """Yield (batch, forward(prepare(batch))) in order; `prepare` runs here, `forward` on `workers` threads.

    Tokenizers must not be used from two threads at once, forward passes may. At most two batches a worker
    are under way. After an exception or Ctrl-C, batches that have not started are dropped; those that run
    are waited for. A batch that is alone runs here, since a thread takes a while to start.
    """
    batches = iter(batches)
    first = list(islice(batches, 2))
    if len(first) == 1:
        yield first[0], forward(prepare(first[0]))
        return
    batches = chain(first, batches)
    pending: deque[tuple[list[int], Future[Any]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
    try:
        for batch in batches:
            pending.append((batch, pool.submit(forward, prepare(batch))))
            if len(pending) >= 2 * workers:
                done, future = pending.popleft()
                yield done, future.result()
        while pending:
            done, future = pending.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def one_torch_thread_each() -> Iterator[None]:
    """Let torch use one thread for each operator, and the former number afterwards.

    The number is global in torch, so encodings on the CPU take turns.
    """
    import torch

    with _CPU_ENCODING:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def cpu_workers() -> int:
    """Threads for forward passes on the CPU: the thread budget of the package."""
    from cluscomp import native

    return max(1, native.get_num_threads())
