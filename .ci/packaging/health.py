"""Exit code 0 where the server of this container answers that it lives."""

from __future__ import annotations

import os
import sys
import urllib.request

PORT = os.environ.get("CLUSCOMP_PORT", "8765")

try:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as fault:
    sys.exit(f"no answer on port {PORT}: {fault}")
