"""The container's program without a container: what the Dockerfile starts, installed by its install.sh.

Usage: check_image.py FOLDER, that of the environment. The server answers with the token and not without,
writes nothing beside the indexes, and ends with exit code 0 at SIGTERM.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
PORT = "18765"
URL = f"http://127.0.0.1:{PORT}/v1/indexes/eye"
MAKE_INDEX = """
import sys
import cluscomp, numpy
x = numpy.eye(8, dtype="f4")
cluscomp.index_factory("Flat", 8).add(x).save(sys.argv[1])
"""


def instruction(name: str) -> list[str]:
    """Words of an instruction in its JSON form."""
    found = re.search(rf"^{name} (\[.*\])$", (HERE / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"the Dockerfile has no {name} in the form of a list")
    words: list[str] = json.loads(found[1])
    return words


def status(token: str | None) -> int:
    """HTTP status of what is known of the index."""
    request = urllib.request.Request(URL, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            facts = json.load(answer)
            if (facts["name"], facts["key"]) != ("eye", "Flat"):
                raise SystemExit(f"the index is {facts}")
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def wait_healthy(server: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    for _ in range(120):
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        check = subprocess.run(
            [sys.executable, HERE / "health.py"], env=environment, capture_output=True, check=False
        )
        if check.returncode == 0:
            return
        time.sleep(0.5)
    raise SystemExit("no health within 60 s")


def main(environment_folder: Path) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "indexes").mkdir()
        (folder / "token").write_text("secret-of-the-check\n")
        python = environment_folder / "bin" / "python"
        subprocess.run([python, "-c", MAKE_INDEX, folder / "indexes" / "eye.index"], cwd=folder, check=True)
        before = sorted((folder / "indexes").rglob("*"))
        places = {
            "/indexes": str(folder / "indexes"),
            "/run/secrets/cluscomp-read-token": str(folder / "token"),
        }
        words = [places.get(word, word) for word in [*instruction("ENTRYPOINT"), *instruction("CMD")]]
        environment = {**os.environ, "CLUSCOMP_PORT": PORT, "CLUSCOMP_CACHE": str(folder / "cache")}
        environment["PATH"] = f"{environment_folder / 'bin'}{os.pathsep}{environment['PATH']}"
        server = subprocess.Popen(words, cwd=folder, env=environment)
        try:
            wait_healthy(server, environment)
            found = (status("secret-of-the-check"), status("another"), status(None))
            if found != (200, 401, 401):
                raise SystemExit(f"with the token, another and none: {found}")
            server.send_signal(signal.SIGTERM)
            if server.wait(30) != 0:
                raise SystemExit(f"SIGTERM ended the server with {server.returncode}")
        finally:
            server.kill()
        if sorted((folder / "indexes").rglob("*")) != before:
            raise SystemExit("the server wrote into the folder of indexes")
    print("the image's server answers with the token only, and ends well")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
