"""`cluscomp plan`."""

from __future__ import annotations

import json

import pytest

BILLION = ("plan", "--rows", "1B", "--dim", 384, "--key", "OPQ48,IVF131072,PQ48", "--nprobe", 64)


def test_a_plan_for_people_and_for_machines(invoke):
    result = invoke(*BILLION, "--machines", "16x96x192G")
    assert result.exit_code == 0
    for words in (
        "48.0 GB",
        "768 GB",
        "core-hours",
        "queries a second",
        "a core-hour",
        "feasible: yes",
        "rates: ",
    ):
        assert words in result.stdout
    found = json.loads(invoke(*BILLION, "--machines", "16x96x192G", "--price", 0.1, "--json").stdout)
    assert found["rows"] == 10**9 and found["machines"] == {"count": 16, "cores": 96, "memory": 192 * 10**9}
    assert found["build_cost"] == pytest.approx(found["core_hours"] * 0.1)


def test_what_does_not_fit_and_what_is_wrong(invoke):
    result = invoke(*BILLION, "--machines", "16x96x1G")
    assert result.exit_code == 3 and "feasible: no" in result.stdout
    for flags in (("--rows", "1.5"), ("--rows", "lots"), ("--machines", "16"), ("--key", "Pool16,PQ48")):
        assert invoke(*BILLION, "--machines", "16x96x192G", *flags).exit_code == 2
