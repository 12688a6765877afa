"""How busy the machine was while a row was measured.

The system's load average looks back a minute, so that what ran before a row counts as if it ran beside it.
Here other processes' time on the cores is taken from the very time of the row.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


class LoadMeter:
    """Processor time of the machine and of this process from now on."""

    def __init__(self) -> None:
        self._start = _reading()

    def load(self, threads: int) -> float | None:
        """Threads of this process, and cores that others kept busy since the start, in the mean; above the
        number of cores, times mean little. Where the system does not tell: the load average, or None.
        """
        now = _reading()
        if self._start is None or now is None:
            return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        wall, machine, own = (after - before for after, before in zip(now, self._start, strict=True))
        # The machine's time is told in hundredths of a second, so that very short rows would be all noise.
        return threads + max(0.0, machine - own) / max(wall, 0.2)


def _reading() -> tuple[float, float, float] | None:
    """Seconds of the clock, of all cores not idle, and of this process with its children."""
    try:
        fields = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq = map(int, fields[1:8])
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    own = os.times()
    return time.perf_counter(), (user + nice + system + irq + softirq) / ticks, sum(own[:4])
