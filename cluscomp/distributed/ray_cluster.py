"""The Ray cluster that steps and searches run on: the one that is there, or a small one on this machine.

Whoever reaches a Ray cluster can run code on it. One that is started here listens on loopback alone, has no
dashboard and reports to nobody; Ray asks for its token where that is on (RAY_AUTH_MODE).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from cluscomp import errors, native

STORE_BYTES = 78_643_200
"""The object store of a cluster that is started here, as small as Ray takes it: nothing but markers and hits
pass through it.
"""
ADDRESS = "RAY_ADDRESS"


class RayCluster:
    """Use as a context manager. address: of a running cluster; None: the one that this process is connected
    to, or that RAY_ADDRESS names, or a new one, which ends with the block.

    Raises OptionalDependencyError, UsageError (no cluster at the address).
    """

    def __init__(self, address: str | None) -> None:
        self.ray: Any = require_ray()
        self._address = address or os.environ.get(ADDRESS)
        self._folder: Path | None = None
        self._is_ours = False

    def __enter__(self) -> RayCluster:
        if self.ray.is_initialized():
            return self
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        if self._address is not None:
            try:
                self.ray.init(address=self._address, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as exc:
                raise errors.UsageError(
                    f"there is no Ray cluster at {self._address!r} ({exc}); start one, or leave the address "
                    "out for one on this machine"
                ) from exc
        else:
            self._start(quiet)
        self._is_ours = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ours:
            self.ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_there(self) -> bool:
        """Whether there is one already, which need not be started on this machine."""
        return self._address is not None or bool(self.ray.is_initialized())

    def cpus(self) -> tuple[int, int]:
        """Processors of the largest node, and of all."""
        each = [node["Resources"].get("CPU", 0.0) for node in self.ray.nodes() if node["Alive"]]
        return max(1, int(max(each, default=1))), max(1, int(sum(each)))

    def require_memory(self, needed: int) -> None:
        """Raise InfeasibleError where no node has so many bytes: Ray would wait for one for ever."""
        each = [node["Resources"].get("memory", 0.0) for node in self.ray.nodes() if node["Alive"]]
        if needed > max(each, default=0):
            raise errors.InfeasibleError(
                f"a step takes {needed} bytes, but the largest node of the Ray cluster has "
                f"{int(max(each, default=0))}; pass a smaller max_memory, or add a larger node"
            )

    def _start(self, quiet: dict[str, Any]) -> None:
        # Paths of sockets end at 107 bytes, so that the folder has to be a short one.
        parent = "/tmp" if os.path.isdir("/tmp") else None  # nosec B108 - the folder has a random name
        self._folder = Path(tempfile.mkdtemp(prefix="r", dir=parent))
        with _errors_only():
            self.ray.init(
                address="local",  # not another cluster that happens to run on this machine
                num_cpus=native.get_num_threads(),
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                _temp_dir=str(self._folder),
                _node_ip_address="127.0.0.1",
                **quiet,
            )


@contextmanager
def _errors_only() -> Iterator[None]:
    """Keep notices of Ray out of the output of a command: of tokens, and of signals that a thread ignores."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def require_ray() -> ModuleType:
    """The package ray. Raises OptionalDependencyError."""
    return errors.require("ray", extra="ray", why="engine 'ray'")


def environment(threads: int) -> dict[str, Any]:
    """What a process of the cluster that works with so many threads gets."""
    number = str(threads)
    names = ("CLUSCOMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return {"env_vars": dict.fromkeys(names, number)}
