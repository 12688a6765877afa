from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp.encoders.batching import length_sorted_batches, run_batches


@given(
    texts=st.lists(st.text(max_size=60)),
    batch_size=st.integers(1, 7),
    max_tokens=st.none() | st.integers(1, 40),
    max_seq_length=st.none() | st.integers(3, 12),
)
def test_batches_cover_every_text_once_within_the_limits(texts, batch_size, max_tokens, max_seq_length):
    batches = list(
        length_sorted_batches(
            texts, batch_size=batch_size, max_tokens=max_tokens, max_seq_length=max_seq_length
        )
    )
    assert sorted(i for batch in batches for i in batch) == list(range(len(texts)))
    lengths = [len(texts[i]) for batch in batches for i in batch]
    assert lengths == sorted(lengths, reverse=True)
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        if max_tokens is not None and len(batch) > 1:
            tokens = len(texts[batch[0]]) // 4 + 2
            assert len(batch) * min(tokens, max_seq_length or tokens) <= max_tokens


def test_token_limit_by_hand():
    texts = ["x" * 8, "x" * 4, "x" * 4, "x"]  # estimates 4, 3, 3, 2
    batches = list(length_sorted_batches(texts, batch_size=9, max_tokens=6, max_seq_length=None))
    assert batches == [[0], [1, 2], [3]]


def test_results_come_in_order_and_tokenizing_stays_in_this_thread():
    preparing = set()

    def prepare(batch):
        preparing.add(threading.get_ident())
        return batch[0]

    def forward(i):
        time.sleep(0.002 * (5 - i))
        return i * 10

    found = list(run_batches(([i] for i in range(5)), prepare, forward, workers=3))
    assert found == [([i], i * 10) for i in range(5)]
    assert preparing == {threading.get_ident()}


def test_a_batch_that_is_alone_needs_no_thread():
    found = list(run_batches([[7]], lambda batch: batch[0], lambda i: (i, threading.get_ident()), workers=3))
    assert found == [([7], (7, threading.get_ident()))]
    assert list(run_batches([], None, None, workers=3)) == []


def test_a_failure_reaches_the_caller_and_drops_the_rest():
    started = []

    def forward(i):
        started.append(i)
        if i == 0:
            raise RuntimeError("first")
        return i

    with pytest.raises(RuntimeError, match="first"):
        list(run_batches(([i] for i in range(100)), lambda batch: batch[0], forward, workers=2))
    assert len(started) <= 4
