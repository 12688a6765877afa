"""The limit holds: input larger than --max-memory is built within it, and the plan is near the truth."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

MB = 10**6
# Linux lets a new program inherit the peak of the process that started it, so a small one stands in between.
WAIT = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("PEAK", usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def write_vectors(path, n, dim):
    """Random float32 rows, written in blocks so that this process stays small too."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (n, dim)}
        )
        for start in range(0, n, 10_000):
            file.write(rng.standard_normal((min(10_000, n - start), dim), dtype=np.float32).data)


def build(tmp_path, *args):
    """Run build-index as a program; returns its report and the peak that the operating system saw."""
    command = [sys.executable, "-m", "cluscomp", "build-index", "--embeddings", str(tmp_path / "x.npy"), "--output",
               str(tmp_path / "i"), "--json", "-q", *args]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", WAIT, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report, _, peak = done.stdout.rpartition("PEAK")
    return json.loads(report), int(peak) * (1 if sys.platform == "darwin" else 1024)


def check(report, peak, limit):
    assert peak <= limit, f"{peak / MB:.0f} MB used of {limit / MB:.0f} MB allowed"
    assert peak <= 1.02 * report["planned_peak"], "the plan promised less than was used"
    assert report["planned_peak"] <= 2 * peak + 32 * MB, "the plan is too pessimistic to be of use"


# rows x 384 float32: 184 MB of vectors under a limit below that
@pytest.mark.parametrize("key", ["Flat", "IVF64,SQ8", "BIVF64(cap=1),SQ8", "PCA32,PQ8x4"])
def test_vectors_larger_than_the_limit(tmp_path, key):
    write_vectors(tmp_path / "x.npy", 120_000, 384)
    report, peak = build(tmp_path, "--index-key", key, "--max-memory", "182M")
    check(report, peak, 182 * MB)


def test_documents_larger_than_the_limit(tmp_path):
    write_vectors(tmp_path / "x.npy", 120_000, 384)
    np.save(tmp_path / "lengths.npy", np.full(12_000, 10))
    lengths = ("--lengths", str(tmp_path / "lengths.npy"))
    report, peak = build(tmp_path, "--index-key", "Pool(f=1),IVF64,SQ8", "--max-memory", "182M", *lengths)
    check(report, peak, 182 * MB)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["Flat", "SQ8", "IVF256,PQ48x4", "OPQ48_192,IVF64,PQ48x4,RFlat"])
def test_600_megabytes_under_400(tmp_path, key):
    write_vectors(tmp_path / "x.npy", 400_000, 384)
    report, peak = build(tmp_path, "--index-key", key, "--max-memory", "400M")
    check(report, peak, 400 * MB)


def test_float16_and_ids(tmp_path):
    rows = np.random.default_rng(0).standard_normal((60_000, 256)).astype(np.float16)
    np.save(tmp_path / "x.npy", rows)
    (tmp_path / "ids.txt").write_text("".join(f"document-{i}\n" for i in range(60_000)))
    report, peak = build(
        tmp_path, "--index-key", "IVF32,SQfp16", "--ids", str(tmp_path / "ids.txt"), "--metric", "cosine"
    )
    check(report, peak, report["planned_peak"])


def test_measured_peak_is_what_the_system_says(tmp_path):
    write_vectors(tmp_path / "x.npy", 20_000, 64)
    report, peak = build(tmp_path, "--index-key", "SQ8")
    assert report["measured_peak"] == pytest.approx(peak, rel=0.02)
    stored = json.loads((tmp_path / "i" / "report.json").read_text())
    assert stored["planned_peak"] == report["planned_peak"]
    assert stored["measured_peak"] == pytest.approx(peak, rel=0.05)
