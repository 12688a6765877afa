"""XXH64 of ids against known values, a plain implementation and the package xxhash."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native

MASK = 2**64 - 1
P1, P2, P3, P4, P5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)


def rotated(x: int, by: int) -> int:
    return (x << by | x >> (64 - by)) & MASK


def mixed(lane: int, word: int) -> int:
    return rotated((lane + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data: bytes) -> int:
    """The specification, step by step, with seed 0."""
    size, value = len(data), P5
    if size >= 32:
        lanes = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        while len(data) >= 32:
            for i in range(4):
                lanes[i] = mixed(lanes[i], int.from_bytes(data[8 * i : 8 * i + 8], "little"))
            data = data[32:]
        value = sum(rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            value = ((value ^ mixed(0, lane)) * P1 + P4) & MASK
    value = (value + size) & MASK
    while len(data) >= 8:
        value = (rotated(value ^ mixed(0, int.from_bytes(data[:8], "little")), 27) * P1 + P4) & MASK
        data = data[8:]
    if len(data) >= 4:
        value = (rotated(value ^ int.from_bytes(data[:4], "little") * P1 & MASK, 23) * P2 + P3) & MASK
        data = data[4:]
    for byte in data:
        value = rotated(value ^ byte * P5 & MASK, 11) * P1 & MASK
    value = (value ^ value >> 33) * P2 & MASK
    value = (value ^ value >> 29) * P3 & MASK
    return value ^ value >> 32


def hashed(texts: list[bytes]) -> list[int]:
    offsets = np.cumsum([0, *map(len, texts)])
    return native.hash_texts(np.frombuffer(b"".join(texts), np.uint8), offsets).tolist()


def test_known_values():
    known = {b"": 0xEF46DB3751D8E999, b"a": 0xD24EC4F1A98C6E5B, b"abc": 0x44BC2CF5AD770999}
    assert hashed(list(known)) == list(known.values())


def test_every_length_equals_the_plain_implementation(rng):
    texts = [rng.bytes(size) for size in [*range(100), 1000, 4097]]
    assert hashed(texts) == [xxh64(text) for text in texts]
    xxhash = pytest.importorskip("xxhash")
    assert hashed(texts) == [xxhash.xxh64_intdigest(text) for text in texts]


def test_many_texts_on_any_number_of_threads(rng, threads):
    texts = [f"document {i} \u00fc".encode() for i in range(20_000)]
    for count in (1, 3):
        native.set_num_threads(count)
        found = hashed(texts)
        assert found[::997] == [xxh64(text) for text in texts[::997]]
        assert len(set(found)) == len(texts)


def test_integers():
    values = np.array([0, 1, -1, 2**63 - 1, -(2**63)])
    assert native.hash_integers(values).tolist() == [xxh64(v.tobytes()) for v in values.astype("<i8")]


def test_a_part_of_a_blob():
    blob = np.frombuffer(b"xxabcxx", np.uint8)
    assert native.hash_texts(blob, np.array([2, 5])).tolist() == [xxh64(b"abc")]
    assert native.hash_texts(blob, np.array([3])).shape == (0,)


@pytest.mark.parametrize("offsets", [[0, 8], [-1, 3], [3, 2, 7], []])
def test_wrong_offsets_are_refused(offsets):
    with pytest.raises(ValueError, match="offsets"):
        native.hash_texts(np.zeros(7, np.uint8), np.array(offsets, np.int64))
