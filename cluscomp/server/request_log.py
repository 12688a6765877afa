"""The log of requests: one JSON document a line, written by a thread of its own."""

from __future__ import annotations

import hashlib
import json
import queue
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from cluscomp.errors import InputError


class RequestLog:
    """Lines go to a file, or to standard output for "-"."""

    def __init__(self, target: Path | None) -> None:
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if target is not None:
            self._stream, self._own = _opened(target), str(target) != "-"
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    @property
    def enabled(self) -> bool:
        """Whether lines go anywhere."""
        return self._thread is not None

    def write(self, line: dict[str, Any]) -> None:
        """Write a line, later."""
        if self._thread is not None:
            self._lines.put(line)

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._thread is not None:
            self._lines.put(None)
            self._thread.join()
            if self._own:
                self._stream.close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(json.dumps(line) + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # a full disk ends no search
                continue


def _opened(target: Path) -> TextIO:
    if str(target) == "-":
        return sys.stdout
    try:
        return target.open("a", encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot write the log {target}: {exc.strerror}") from exc


def fingerprint(token: str | None) -> str | None:
    """What the log says of a token: enough to tell two apart, nothing to get in with."""
    return None if token is None else hashlib.blake2b(token.encode(), digest_size=4).hexdigest()
