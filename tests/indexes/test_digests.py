"""Every key answers with the bits that version 0.1.0 answered with: a change of structure changes no result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from result_digests import digests, linear_algebra

RECORDED = json.loads(Path(__file__).with_name("digests.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def now() -> dict[str, str]:
    return digests()


def changed(recorded: dict[str, str], now: dict[str, str]) -> list[str]:
    return [key for key, value in recorded.items() if now.get(key) != value]


def test_keys_without_linear_algebra_answer_as_before_on_every_machine(now):
    assert len(RECORDED["everywhere"]) > 100
    assert changed(RECORDED["everywhere"], now) == []


def test_keys_with_rotations_answer_as_before_where_blas_is_known(now):
    """The bits of OPQ, PCA and random rotations are those of LAPACK, which differ from processor to processor."""
    recorded = RECORDED["linear_algebra"].get(linear_algebra())
    if recorded is None:
        pytest.skip("no digests were recorded with this machine's BLAS; those of other keys are compared")
    assert changed(recorded, now) == []


def test_every_key_of_the_record_is_compared(now):
    recorded = RECORDED["everywhere"].keys() | next(iter(RECORDED["linear_algebra"].values())).keys()
    assert recorded == now.keys()
