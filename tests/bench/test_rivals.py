"""Rivals by name, and budgets that are given back."""

from __future__ import annotations

import pytest

from cluscomp import native
from cluscomp.bench import rivals
from cluscomp.bench.run import run_benchmarks
from cluscomp.bench.settings import Settings
from cluscomp.errors import OptionalDependencyError, UsageError


def test_unknown_and_uninstalled_rivals_are_refused(monkeypatch):
    with pytest.raises(UsageError, match="known are: faiss, torch, scann"):
        rivals.choose("fais")
    monkeypatch.setitem(rivals.RIVALS, "no_such_package", "pip install nothing")
    with pytest.raises(OptionalDependencyError, match="pip install nothing"):
        rivals.choose("no_such_package")


def test_without_a_list_the_installed_ones_compete(monkeypatch):
    monkeypatch.setattr(rivals, "installed", lambda: ("torch", "scann"))
    assert rivals.choose(None) == ("scann",)
    assert rivals.choose("") == ()


def test_threads_come_back():
    faiss = pytest.importorskip("faiss")
    before = native.get_num_threads(), faiss.omp_get_max_threads()
    with rivals.thread_budget(1, ("faiss",)):
        assert (native.get_num_threads(), faiss.omp_get_max_threads()) == (1, 1)
    assert (native.get_num_threads(), faiss.omp_get_max_threads()) == before


def test_levels_come_back():
    before = native.simd_level()
    with rivals.instruction_set("scalar", ()):
        assert native.simd_level() == "scalar"
    assert native.simd_level() == before
    with pytest.raises(UsageError, match="SIMD level"), rivals.instruction_set("no-such", ()):
        pass


def test_unknown_benchmarks_and_cases_are_refused():
    with pytest.raises(UsageError, match="known are: assign"):
        run_benchmarks(["asign"], Settings())
    with pytest.raises(UsageError, match="there are: n=100000 k=256 d=384"):
        run_benchmarks(["assign"], Settings(only="k=257"))
