"""The description of the routes is true: made-up requests get answers that it knows, and none of the server's faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

ADMIN = "admin-token-0123456789"


def test_errors_and_limits_are_described(both):
    found = both.get("/openapi.json").json()
    search = found["paths"]["/v1/indexes/{name}/search"]["post"]
    assert list(search["responses"]["4XX"]["content"]) == ["application/problem+json"]
    fields = found["components"]["schemas"]["SearchRequest"]
    assert fields["properties"]["k"]["minimum"] == 1 and fields["additionalProperties"] is False
    assert "HTTPValidationError" not in json.dumps(found)
    assert "/v1/indexes/{name}/documents" not in found["paths"]  # no admin token, no such route


@pytest.mark.slow
def test_schemathesis_finds_no_fault(serve, folder, late, tmp_path):
    """Not `positive_data_acceptance`: that one of several fields is needed, or a dim, no schema here says."""
    program = os.environ.get("CLUSCOMP_SCHEMATHESIS") or shutil.which("schemathesis")
    if program is None:
        pytest.skip("schemathesis is not here; install it, or set CLUSCOMP_SCHEMATHESIS to its program")
    shutil.copytree(folder, tmp_path / "small")
    shutil.copytree(late, tmp_path / "late")
    folders = {"small": tmp_path / "small", "late": tmp_path / "late"}
    with serve(folders, admin_token=ADMIN) as server:
        command = [program, "run", f"{server.url}/openapi.json", "--header", f"X-API-Key: {ADMIN}", "--checks", "all",
                   "--exclude-checks", "positive_data_acceptance", "--max-examples", "20", "--seed", "1"]  # fmt: skip
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False
        )
    assert found.returncode == 0, found.stdout[-6000:]
