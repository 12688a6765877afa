"""Runs a command beside a server of S3 on this machine, with a bucket in it and settings that lead there.

objects_server.py MOTO_SERVER COMMAND...   MOTO_SERVER: the program of the package moto
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

BUCKET = "cluscomp-tests"
PATIENCE_SECONDS = 60


def main(server: str, command: list[str]) -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([server, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        make_bucket(endpoint, process)
        settings = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "CLUSCOMP_TEST_BUCKET": f"s3://{BUCKET}",
        }
        return subprocess.run(command, env=os.environ | settings, check=False).returncode
    finally:
        process.terminate()
        process.wait()


def make_bucket(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers, and make the bucket."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")).close()
            return
        except urllib.error.URLError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
