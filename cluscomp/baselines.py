"""The libraries that we are compared with: how to get them, their versions, threads and instruction sets."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from cluscomp import native
from cluscomp.checks import one_of
from cluscomp.errors import OptionalDependencyError


@dataclass(frozen=True)
class Baseline:
    """module: as it is imported. package: the distribution that brings it. install: how to get it."""

    module: str
    package: str
    install: str


BASELINES = {
    "faiss": Baseline("faiss", "faiss-cpu", "pip install 'cluscomp[faiss]'"),
    "torch": Baseline("torch", "torch", "pip install 'cluscomp[encode]'"),
    "scann": Baseline("scann", "scann", "pip install scann"),
    "pot": Baseline("ot", "pot", "pip install pot"),
    "scipy": Baseline("scipy", "scipy", "pip install scipy"),
    "numpy": Baseline("numpy", "numpy", "pip install cluscomp"),
    "hnswlib": Baseline("hnswlib", "hnswlib", "pip install 'cluscomp[baselines]'"),
    "usearch": Baseline("usearch", "usearch", "pip install 'cluscomp[baselines]'"),
    "pyseismic": Baseline("seismic", "pyseismic-lsr", "pip install pyseismic-lsr"),
    "fastplaid": Baseline(
        "fast_plaid",
        "fast-plaid",
        "pip install fast-plaid, in an environment of its own, since it pins a torch",
    ),
    "pylate": Baseline(
        "pylate",
        "pylate",
        "pip install --no-deps pylate ujson, since PyLate pins an older sentence-transformers",
    ),
}

# Names of faiss for our levels; our other levels have no counterpart that can be chosen at run time.
_FAISS_LEVELS = {"scalar": "NONE", "avx2": "AVX2", "avx512": "AVX512", "neon": "ARM_NEON"}


def installed() -> tuple[str, ...]:
    """Names of the libraries that can be imported here."""
    return tuple(name for name, b in BASELINES.items() if importlib.util.find_spec(b.module) is not None)


def library(name: str, part: str = "") -> ModuleType:
    """The module of a library, or a part of it, such as "index" of "usearch".

    Raises UnknownKeyError for a name that is not in BASELINES, OptionalDependencyError.
    """
    baseline = BASELINES[one_of("library", name, BASELINES)]
    module = f"{baseline.module}.{part}" if part else baseline.module
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise OptionalDependencyError(
            f"the library {name} is not installed ({module} cannot be imported: {exc}); leave it out, or get "
            f"it with: {baseline.install}"
        ) from exc


def version(name: str) -> str:
    """Version of an installed library, as its module or its distribution states it. Raises as `library`."""
    found = getattr(library(name), "__version__", None)
    return str(found) if found else importlib.metadata.version(BASELINES[name].package)


@contextmanager
def thread_budget(n: int, names: Sequence[str]) -> Iterator[None]:
    """Give the native core, these libraries and NumPy's BLAS n threads each; later what they had before."""
    with ExitStack() as stack:
        stack.callback(native.set_num_threads, native.get_num_threads())
        native.set_num_threads(n)
        if "faiss" in names:
            faiss = library("faiss")
            stack.callback(faiss.omp_set_num_threads, faiss.omp_get_max_threads())
            faiss.omp_set_num_threads(n)
        if "torch" in names:
            torch = library("torch")
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(n)
        control = blas_control()
        if control is not None:
            stack.enter_context(control.threadpool_limits(limits=n, user_api="blas"))
        yield


def blas_control() -> Any:
    """The package threadpoolctl, which alone can change the threads of a loaded BLAS; None without it."""
    try:
        return importlib.import_module("threadpoolctl")
    except ImportError:
        return None


@contextmanager
def instruction_set(level: str | None, names: Sequence[str]) -> Iterator[str]:
    """Force `level` on the native core and on faiss where it can be chosen; gives what faiss runs with.

    None leaves everybody the best that the machine has. Raises UsageError for a level that is not there.
    """
    with ExitStack() as stack:
        if level is not None:
            stack.callback(native.set_simd_level, native.simd_level())
            native.set_simd_level(level)
        yield _faiss_level(level, stack) if "faiss" in names else ""


def _faiss_level(level: str | None, stack: ExitStack) -> str:
    faiss = library("faiss")
    config = getattr(faiss, "SIMDConfig", None)  # since faiss 1.14
    if config is None:
        return f"compiled with {faiss.get_compile_options().strip()}"
    if level is not None:
        stack.callback(config.set_level, config.get_level())
        config.set_level(getattr(faiss, f"SIMDLevel_{_FAISS_LEVELS[level]}"))
    return str(config.get_level_name())
