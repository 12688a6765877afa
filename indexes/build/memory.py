"""How much memory the process has, holds and has held, in bytes."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Resident memory of this process now (the peak where the system does not tell)."""
    return _status("VmRSS") or _rusage_peak()


def peak_bytes() -> int:
    """Largest resident memory of this process since it started."""
    return _status("VmHWM") or _rusage_peak()


def available_bytes() -> int:
    """Memory that this process could still take: what the machine and its control group leave."""
    try:
        machine = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        machine = _meminfo("MemAvailable") or machine
    except (ValueError, OSError):
        machine = 8 * 10**9
    return min(machine, _control_group_room())


def _status(field: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), 0)


def _meminfo(field: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), 0)


def _control_group_room() -> int:
    """Bytes below the limit of the control group (version 2, or 1), or practically infinite without one."""
    folder = Path("/sys/fs/cgroup")
    pairs = (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    )
    for limit, usage in pairs:
        try:
            return max(0, int((folder / limit).read_text()) - int((folder / usage).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return sys.maxsize


def _rusage_peak() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
