"""The libraries that we are compared with: which are installed, their threads, their instruction sets."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from cluscomp import native
from cluscomp.checks import one_of
from cluscomp.errors import OptionalDependencyError

RIVALS = {
    "faiss": "pip install 'cluscomp[faiss]'",
    "torch": "pip install 'cluscomp[encode]'",
    "scann": "pip install scann",
    "pot": "pip install pot",
    "scipy": "pip install scipy",
    "numpy": "pip install cluscomp",
}
"""Name and how to get it."""

_MODULES = {"pot": "ot"}  # where it is imported by another name

# torch has no index and no quantizer; it stands for plain matrix products, and only where asked for.
USUAL = ("faiss", "scann")

# Names of faiss for our levels; our other levels have no counterpart that can be chosen at run time.
_FAISS_LEVELS = {"scalar": "NONE", "avx2": "AVX2", "avx512": "AVX512", "neon": "ARM_NEON"}


def installed() -> tuple[str, ...]:
    """Rivals that can be imported here."""
    return tuple(name for name in RIVALS if importlib.util.find_spec(_MODULES.get(name, name)) is not None)


def choose(names: str | None) -> tuple[str, ...]:
    """Rivals of a comma-separated list; None = the usual ones that are installed.

    Raises UsageError for an unknown name, OptionalDependencyError for one that is not installed.
    """
    if names is None:
        return tuple(name for name in USUAL if name in installed())
    wanted = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in wanted:
        rival(name)
    return wanted


def rival(name: str) -> ModuleType:
    """The module of a rival. Raises as `choose`."""
    one_of("rival", name, RIVALS)
    try:
        return importlib.import_module(_MODULES.get(name, name))
    except ImportError as exc:
        raise OptionalDependencyError(
            f"the rival {name} is not installed ({exc}); leave it out of --vs, or get it with: {RIVALS[name]}"
        ) from exc


def versions(names: Sequence[str]) -> dict[str, str]:
    """Version of each rival, as its module or its distribution states it."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return str(rival(name).__version__)
    except AttributeError:
        return importlib.metadata.version(name)


@contextmanager
def thread_budget(n: int, names: Sequence[str]) -> Iterator[None]:
    """Give the native core, the rivals and NumPy's BLAS n threads each, and later what they had before."""
    with ExitStack() as stack:
        stack.callback(native.set_num_threads, native.get_num_threads())
        native.set_num_threads(n)
        if "faiss" in names:
            faiss = rival("faiss")
            stack.callback(faiss.omp_set_num_threads, faiss.omp_get_max_threads())
            faiss.omp_set_num_threads(n)
        if "torch" in names:
            torch = rival("torch")
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
    """Force `level` on the native core and on faiss where it can be chosen; gives what the rivals run with.

    None leaves everybody the best that the machine has. Raises UsageError for a level that is not there.
    """
    with ExitStack() as stack:
        if level is not None:
            stack.callback(native.set_simd_level, native.simd_level())
            native.set_simd_level(level)
        yield _faiss_level(level, stack) if "faiss" in names else ""


def _faiss_level(level: str | None, stack: ExitStack) -> str:
    faiss = rival("faiss")
    config = getattr(faiss, "SIMDConfig", None)  # since faiss 1.14
    if config is None:
        return f"compiled with {faiss.get_compile_options().strip()}"
    if level is not None:
        stack.callback(config.set_level, config.get_level())
        config.set_level(getattr(faiss, f"SIMDLevel_{_FAISS_LEVELS[level]}"))
    return str(config.get_level_name())
