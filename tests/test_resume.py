"""The record of finished steps: what a kill at any moment leaves can be gone on from."""

from __future__ import annotations

import pytest

from cluscomp.resume import Record, first_difference

SETTINGS = {"key": "PQ8", "seed": 0, "input": {"rows": 10}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "record.jsonl"


def test_a_later_run_finds_what_was_finished(path):
    record = Record(path, SETTINGS)
    assert not record.is_left
    assert not record.matches()
    record.start()
    assert record.finish("read", {"n": 10}) == {"n": 10}
    record.finish("train", {})
    again = Record(path, SETTINGS)
    assert again.matches()
    assert again.finished == ("read", "train")
    assert again.done("read") == {"n": 10}
    assert again.done("train") == {}
    assert again.done("write") is None


def test_facts_are_json_at_once(path):
    """The run that finishes a step sees the facts as a later run will."""
    record = Record(path, SETTINGS)
    assert record.finish("read", {"shape": (1, 2)}) == {"shape": [1, 2]}
    assert Record(path, SETTINGS).done("read") == {"shape": [1, 2]}


def test_the_first_step_begins_the_record(path):
    Record(path, SETTINGS).finish("read", {})
    assert Record(path, SETTINGS).finished == ("read",)


def test_a_step_may_be_finished_again(path):
    record = Record(path, SETTINGS)
    for n in range(3):
        record.finish("pool", {"n": n})
    assert Record(path, SETTINGS).done("pool") == {"n": 2}
    assert len(path.read_bytes().splitlines()) == 2


def test_every_cut_of_the_file_loses_at_most_the_last_step(path):
    record = Record(path, SETTINGS)
    for n in range(3):
        record.finish(f"block {n}", {"n": n})
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        left = Record(path, SETTINGS)
        wanted = sum(size >= end - 1 for end in ends[1:])  # a line counts with or without its line feed
        assert len(left.finished) == wanted
        left.finish("next", {"n": -1})
        again = Record(path, SETTINGS)
        assert again.matches()
        assert again.finished == (*(f"block {n}" for n in range(wanted)), "next")


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"\xff\xfe\n", b'{"settings": 3}\n', b'{"a": 1}\n'])
def test_what_is_no_record_counts_as_none(path, content):
    path.write_bytes(content)
    record = Record(path, SETTINGS)
    assert not record.is_left
    assert record.difference() is None
    record.finish("read", {})
    assert Record(path, SETTINGS).finished == ("read",)


def test_other_settings_are_told_and_can_be_begun_anew(path):
    Record(path, SETTINGS).finish("read", {})
    other = Record(path, {**SETTINGS, "seed": 1})
    assert not other.matches()
    assert other.difference() == "seed was 0 and is now 1"
    assert Record(path, SETTINGS).finished == ("read",)  # reading changed nothing
    other.start()
    assert Record(path, {**SETTINGS, "seed": 1}).finished == ()


def test_steps_can_be_forgotten(path):
    record = Record(path, SETTINGS)
    for name in ("read", "plan", "train"):
        record.finish(name, {})
    record.forget(("plan", "train", "write"))
    assert record.finished == Record(path, SETTINGS).finished == ("read",)


def test_another_process_is_seen_after_reloading(path):
    mine, other = Record(path, SETTINGS), Record(path, SETTINGS)
    other.finish("joint", {"steps": 5})
    assert mine.done("joint") is None
    mine.reload()
    assert mine.done("joint") == {"steps": 5}


def test_removal(path):
    record = Record(path, SETTINGS)
    record.remove()
    record.finish("read", {})
    record.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1}, {"a": 2}, "a was 1 and is now 2"),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "a.b was [1] and is now [2]"),
        ({"b": 1}, {"a": 1, "b": 1}, "a was None and is now 1"),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, "a was 1 and is now 2"),
        ({"a": {"b": 1}}, {"a": 3}, "a was {'b': 1} and is now 3"),
    ],
)
def test_the_first_difference(old, new, said):
    assert first_difference(old, new) == said
