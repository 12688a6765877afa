from __future__ import annotations

import logging
import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.encoders import cache as cache_module
from cluscomp.encoders import cache_dir, encode_cached, encode_to_file

TEXTS = [f"text {i}" for i in range(10)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(cache_module, "BLOCK_TEXTS", 4)


def entries(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("CLUSCOMP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "cluscomp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "cluscomp"


def test_second_call_encodes_nothing(hash_encoder, own_cache):
    first = encode_cached(hash_encoder, TEXTS, side="document")
    assert isinstance(first, np.memmap) and not first.flags.writeable
    assert [len(call) for call in hash_encoder.calls] == [4, 4, 2]
    second = encode_cached(hash_encoder, tuple(TEXTS), side="document")
    assert len(hash_encoder.calls) == 3
    assert np.array_equal(first, hash_encoder.expected(TEXTS)) and np.array_equal(first, second)
    assert {path.suffix for path in entries(own_cache)} == {".npy", ".json"}


def test_key_holds_encoder_side_texts_and_order(hash_encoder, make_hash_encoder):
    encode_cached(hash_encoder, TEXTS, side="document")
    for encoder, texts, side in [
        (make_hash_encoder(fingerprint="f1"), TEXTS, "document"),
        (hash_encoder, TEXTS, "query"),
        (hash_encoder, TEXTS[::-1], "document"),
        (hash_encoder, ["text 0text", " 1", *TEXTS[2:]], "document"),
    ]:
        assert np.array_equal(encode_cached(encoder, texts, side=side), encoder.expected(texts, side))


def test_without_cache_no_file_is_left(hash_encoder, own_cache):
    for texts in (TEXTS, iter(TEXTS)):
        vectors = encode_cached(hash_encoder, texts, side="query", cache=False)
        assert np.array_equal(vectors, hash_encoder.expected(TEXTS, "query"))
    assert not own_cache.exists()


def test_an_iterator_shares_the_entry_of_a_list(hash_encoder, own_cache):
    encode_cached(hash_encoder, TEXTS, side="document")
    files = entries(own_cache)
    vectors = encode_cached(hash_encoder, (text for text in TEXTS), side="document")
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert len(hash_encoder.calls) == 3 and entries(own_cache) == files


@pytest.mark.parametrize("texts", [[], iter(())])
def test_no_texts(hash_encoder, texts):
    assert encode_cached(hash_encoder, texts, side="document").shape == (0, 6)


def test_interrupted_encoding_goes_on(hash_encoder):
    hash_encoder.fail_after = 2
    with pytest.raises(KeyboardInterrupt):
        encode_cached(hash_encoder, TEXTS, side="document")
    hash_encoder.fail_after = None
    seen = []
    vectors = encode_cached(hash_encoder, TEXTS, side="document", progress=lambda *x: seen.append(x))
    assert [call[0] for call in hash_encoder.calls] == ["text 0", "text 4", "text 8"]
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert seen[0] == ("encode", 4, 10) and seen[-1] == ("encode", 10, 10) and seen == sorted(seen)


def truncate(path):
    os.truncate(path, path.stat().st_size - 5)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [truncate, flip, lambda path: path.write_bytes(b""), lambda path: path.with_suffix(".json").unlink()],
)
def test_damaged_entries_are_reported_and_made_again(hash_encoder, own_cache, caplog, damage):
    encode_cached(hash_encoder, TEXTS, side="document")
    damage(next(own_cache.rglob("*.npy")))
    with caplog.at_level(logging.WARNING):
        vectors = encode_cached(hash_encoder, TEXTS, side="document")
    assert "truncated or altered" in caplog.text
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert len(hash_encoder.calls) == 6
    encode_cached(hash_encoder, TEXTS, side="document")
    assert len(hash_encoder.calls) == 6


def test_unusable_folder_is_a_warning(hash_encoder, tmp_path, monkeypatch, caplog):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "taken"))
    with caplog.at_level(logging.WARNING):
        vectors = encode_cached(hash_encoder, iter(TEXTS), side="document")
    assert "set CLUSCOMP_CACHE" in caplog.text
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))


@pytest.mark.parametrize(
    "encode", [lambda *a: encode_cached(*a, side="document"), lambda *a: encode_to_file(*a, "x.npy")]
)
@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("text", errors.UsageError, "one string"),
        ([*TEXTS, 7], errors.DTypeError, "text 10 is of type int"),
        ((*TEXTS, "\udc00"), errors.InputError, "text 10 holds half"),
    ],
)
def test_wrong_texts(hash_encoder, tmp_path, monkeypatch, encode, texts, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        encode(hash_encoder, texts)


def test_wrong_side(hash_encoder, tmp_path):
    with pytest.raises(errors.UsageError, match="'docs'.*document, query"):
        encode_cached(hash_encoder, TEXTS, side="docs")
    with pytest.raises(errors.UsageError, match="'docs'"):
        encode_to_file(hash_encoder, TEXTS, tmp_path / "x.npy", side="docs")


# ---- encode_to_file --------------------------------------------------------------------------------


def interrupted(encoder, path, texts, blocks):
    encoder.fail_after = blocks
    with pytest.raises(KeyboardInterrupt):
        encode_to_file(encoder, iter(texts), path, block_texts=4)
    encoder.fail_after = None
    encoder.calls.clear()


def test_file_is_a_plain_npy(hash_encoder, tmp_path):
    seen = []
    vectors = encode_to_file(
        hash_encoder, iter(TEXTS), tmp_path / "x.npy", n=10, block_texts=4, progress=lambda *x: seen.append(x)
    )
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert np.array_equal(np.load(tmp_path / "x.npy"), vectors)
    assert [path.name for path in entries(tmp_path)] == ["x.npy"]
    assert seen[-1] == ("encode", 10, 10) and all(call[2] == 10 for call in seen)


def test_unfinished_file_is_not_at_its_place(hash_encoder, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(b"old")
    interrupted(hash_encoder, path, TEXTS, 2)
    assert path.read_bytes() == b"old"
    assert {p.name for p in entries(tmp_path)} == {"x.npy", "x.npy.partial", "x.npy.partial.jsonl"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.integers(0, 2),
    changed=st.none() | st.integers(0, 13),
    length=st.integers(0, 14),
)
def test_resume_keeps_only_blocks_whose_texts_are_the_same(
    tmp_path_factory, make_hash_encoder, blocks, changed, length
):
    path = tmp_path_factory.mktemp("resume") / "x.npy"
    encoder = make_hash_encoder()
    interrupted(encoder, path, TEXTS, blocks)
    texts = [f"text {i}" for i in range(length)]
    if changed is not None and changed < length:
        texts[changed] = "another"
    vectors = encode_to_file(encoder, texts, path, block_texts=4)
    assert vectors.shape == (length, 6)
    assert length == 0 or np.array_equal(vectors, encoder.expected(texts))
    same = min(
        blocks, next((i for i in range(0, length, 4) if texts[i : i + 4] != TEXTS[i : i + 4]), length) // 4
    )
    assert len(encoder.calls) == max(-(-length // 4) - same, 0)


def test_another_encoder_or_side_starts_afresh(hash_encoder, make_hash_encoder, tmp_path):
    path = tmp_path / "x.npy"
    interrupted(hash_encoder, path, TEXTS, 2)
    other = make_hash_encoder(fingerprint="f1")
    assert np.array_equal(encode_to_file(other, TEXTS, path, block_texts=4), other.expected(TEXTS))
    assert len(other.calls) == 3
    interrupted(hash_encoder, path, TEXTS, 2)
    encode_to_file(hash_encoder, TEXTS, path, block_texts=4, side="query")
    assert len(hash_encoder.calls) == 3


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_damaged_partial_is_redone_from_the_damage(hash_encoder, tmp_path, caplog, cut):
    path = tmp_path / "x.npy"
    interrupted(hash_encoder, path, TEXTS, 2)
    partial = tmp_path / "x.npy.partial"
    os.truncate(partial, partial.stat().st_size - cut)
    with caplog.at_level(logging.WARNING):
        vectors = encode_to_file(hash_encoder, TEXTS, path, block_texts=4)
    assert "block 2 of 2 is damaged" in caplog.text
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert [call[0] for call in hash_encoder.calls] == ["text 4", "text 8"]


def test_record_cut_in_its_last_line_loses_that_block_only(hash_encoder, tmp_path):
    path = tmp_path / "x.npy"
    interrupted(hash_encoder, path, TEXTS, 2)
    record = tmp_path / "x.npy.partial.jsonl"
    os.truncate(record, record.stat().st_size - 4)
    assert np.array_equal(
        encode_to_file(hash_encoder, TEXTS, path, block_texts=4), hash_encoder.expected(TEXTS)
    )
    assert [call[0] for call in hash_encoder.calls] == ["text 4", "text 8"]


@pytest.mark.parametrize("n", [9, 11])
def test_wrong_count_is_refused_and_nothing_published(hash_encoder, tmp_path, n):
    with pytest.raises(errors.InputError, match=f"{n} texts were announced, but 10 came"):
        encode_to_file(hash_encoder, TEXTS, tmp_path / "x.npy", n=n)
    assert not (tmp_path / "x.npy").exists()


def test_bad_block_size(hash_encoder, tmp_path):
    with pytest.raises(errors.UsageError, match="block_texts must be .* but is 0"):
        encode_to_file(hash_encoder, TEXTS, tmp_path / "x.npy", block_texts=0)


def test_full_disk_is_named_and_resumable(hash_encoder, tmp_path, monkeypatch):
    import errno

    from cluscomp.encoders import resume

    real, calls = resume.flush, []

    def flush(file):
        calls.append(file)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(resume, "flush", flush)
    with pytest.raises(errors.DiskFullError, match="bytes free.*finished blocks are kept"):
        encode_to_file(hash_encoder, TEXTS, tmp_path / "x.npy", block_texts=4)
    monkeypatch.setattr(resume, "flush", real)
    done = len(hash_encoder.calls)
    vectors = encode_to_file(hash_encoder, TEXTS, tmp_path / "x.npy", block_texts=4)
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert len(hash_encoder.calls) - done < 3


class SlowEncoder:
    """Wraps an encoder; every block takes a while, so that two processes meet."""

    def __init__(self, inner):
        self.info, self.inner = inner.info, inner

    def encode_documents(self, texts, progress=None):
        import time

        time.sleep(0.3)
        return self.inner.encode_documents(texts, progress)

    encode_queries = encode_documents


def _encode_in_process(encoder, results):
    vectors = encode_cached(encoder, TEXTS, side="document")
    results.put((len(encoder.inner.calls), vectors.sum()))


def test_two_processes_share_the_work_of_one(hash_encoder):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [
        context.Process(target=_encode_in_process, args=(SlowEncoder(hash_encoder), results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(calls for calls, _ in found) == [0, 3]
    assert all(total == hash_encoder.expected(TEXTS).sum() for _, total in found)


def test_killed_process_leaves_a_resumable_state(hash_encoder):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    worker = context.Process(target=_encode_in_process, args=(SlowEncoder(hash_encoder), results))
    worker.start()
    partial = None
    for _ in range(600):
        records = list(cache_dir().rglob("*.jsonl"))
        if records and len(records[0].read_text().splitlines()) >= 2:
            partial = records[0]
            break
        worker.join(0.05)
    worker.kill()
    worker.join()
    assert partial is not None
    vectors = encode_cached(hash_encoder, TEXTS, side="document")
    assert np.array_equal(vectors, hash_encoder.expected(TEXTS))
    assert len(hash_encoder.calls) < 3
