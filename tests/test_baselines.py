"""Baselines by name, and budgets that are given back."""

from __future__ import annotations

import pytest

from cluscomp import baselines, native
from cluscomp.bench import settings
from cluscomp.bench.run import run_benchmarks
from cluscomp.bench.settings import Settings
from cluscomp.errors import OptionalDependencyError, UsageError


def test_unknown_and_uninstalled_libraries_are_refused(monkeypatch):
    with pytest.raises(UsageError, match="known are: faiss, torch, scann"):
        settings.choose("fais")
    nothing = baselines.Baseline("no_such_package", "nothing", "pip install nothing")
    monkeypatch.setitem(baselines.BASELINES, "scann", nothing)
    with pytest.raises(OptionalDependencyError, match="library scann is not installed.*pip install nothing"):
        settings.choose("scann")
    with pytest.raises(OptionalDependencyError, match="no_such_package.index cannot be imported"):
        baselines.library("scann", "index")


def test_without_a_list_the_installed_ones_compete(monkeypatch):
    monkeypatch.setattr(settings, "installed", lambda: ("torch", "scann"))
    assert settings.choose(None) == ("scann",)
    assert settings.choose("") == ()


def test_versions():
    np = pytest.importorskip("numpy")
    assert baselines.version("numpy") == np.__version__
    assert "numpy" in baselines.installed()


def test_threads_come_back():
    faiss = pytest.importorskip("faiss")
    before = native.get_num_threads(), faiss.omp_get_max_threads()
    with baselines.thread_budget(1, ("faiss",)):
        assert (native.get_num_threads(), faiss.omp_get_max_threads()) == (1, 1)
    assert (native.get_num_threads(), faiss.omp_get_max_threads()) == before


def test_levels_come_back():
    before = native.simd_level()
    with baselines.instruction_set("scalar", ()):
        assert native.simd_level() == "scalar"
    assert native.simd_level() == before
    with pytest.raises(UsageError, match="SIMD level"), baselines.instruction_set("no-such", ()):
        pass


def test_unknown_benchmarks_and_cases_are_refused():
    with pytest.raises(UsageError, match="known are: assign"):
        run_benchmarks(["asign"], Settings())
    with pytest.raises(UsageError, match="there are: n=100000 k=256 d=384"):
        run_benchmarks(["assign"], Settings(only="k=257"))
