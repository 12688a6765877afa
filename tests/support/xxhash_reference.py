"""XXH64 with seed 0, as its specification has it, in plain Python."""

from __future__ import annotations

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
)  # fmt: skip
MASK = 2**64 - 1


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK


def _round(lane: int, value: int) -> int:
    return _rotated((lane + value * P2) & MASK, 31) * P1 & MASK


def xxh64(data: bytes) -> int:
    """Hash of some bytes."""
    place, lanes = 0, [P1 + P2 & MASK, P2, 0, -P1 & MASK]
    while len(data) - place >= 32:
        for i in range(4):
            lanes[i] = _round(lanes[i], int.from_bytes(data[place + 8 * i : place + 8 * i + 8], "little"))
        place += 32
    found = P5
    if place:
        found = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            found = ((found ^ _round(0, lane)) * P1 + P4) & MASK
    found = (found + len(data)) & MASK
    while len(data) - place >= 8:
        found ^= _round(0, int.from_bytes(data[place : place + 8], "little"))
        found, place = (_rotated(found, 27) * P1 + P4) & MASK, place + 8
    if len(data) - place >= 4:
        found ^= int.from_bytes(data[place : place + 4], "little") * P1 & MASK
        found, place = (_rotated(found, 23) * P2 + P3) & MASK, place + 4
    for byte in data[place:]:
        found = _rotated(found ^ byte * P5 & MASK, 11) * P1 & MASK
    found = (found ^ found >> 33) * P2 & MASK
    found = (found ^ found >> 29) * P3 & MASK
    return found ^ found >> 32
