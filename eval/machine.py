"""What a measurement ran on: processor, cores, instruction set, versions. No names of hosts or users."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import native


def describe_machine() -> dict[str, Any]:
    """Processor, cores, instruction set and versions, as JSON values; no names of hosts or users."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "simd": native.simd_level(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def distribution_version(name: str) -> str | None:
    """Version of an installed distribution, such as "faiss-cpu"; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
