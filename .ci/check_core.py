"""The main job with the core dependencies only, by command and from Python; run outside the source tree.

--extras: they may be there.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

OPTIONAL = ("torch", "transformers", "faiss-cpu", "pyarrow", "scipy", "scikit-learn", "sentence-transformers")
KEYS = ("Flat", "SQ8", "IVF16,PQ8", "OPQ8,IVF16,PQ8,RFlat")


def command(*words: str) -> str:
    """Standard output of a command that must succeed."""
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(words)} failed with {result.returncode}:\n{result.stderr}")
    return result.stdout


def check_environment(extras: bool) -> None:
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    unwanted = set() if extras else installed & set(OPTIONAL)
    if unwanted:
        raise SystemExit(f"the core installation brought {unwanted}")
    print("installed:", ", ".join(sorted(installed)))


def check_python(vectors: np.ndarray, folder: Path) -> None:
    import cluscomp
    from cluscomp.eval import evaluate

    truth = np.argmax(vectors[:50] @ vectors.T, axis=1)
    for key in KEYS:
        index = cluscomp.index_factory(key, dim=vectors.shape[1], metric="ip")
        index.train(vectors)
        index.add(vectors)
        index.save(folder / "python")
        scores, ids = cluscomp.open_index(folder / "python").search(vectors[:50], 10, nprobe=16)
        hit_rate = float(np.mean([row in found for row, found in zip(truth, ids, strict=True)]))
        print(f"{key}: best row among ten of {hit_rate:.0%} of the queries")
        if hit_rate < 0.6 or scores.shape != (50, 10):
            raise SystemExit(f"{key} does not find the best rows")
        for file in sorted((folder / "python").iterdir()):
            file.unlink()
        (folder / "python").rmdir()
    value = evaluate({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 1}}, metrics=("mrr@10",))["mrr@10"]
    if value != 1.0:
        raise SystemExit(f"mrr@10 of a perfect run is {value}")


def check_commands(vectors: np.ndarray, folder: Path) -> None:
    np.save(folder / "x.npy", vectors)
    np.save(folder / "q.npy", vectors[:5])
    index, run, queries = str(folder / "index"), folder / "run.trec", str(folder / "q.npy")
    embeddings = ("--embeddings", str(folder / "x.npy"), "--metric", "l2")
    build = (*embeddings, "--index-key", "IVF16,SQ8", "--output", index)
    command("cluscomp", "build-index", *build)
    command("build-index", *build, "--if-exists", "replace")
    command("cluscomp", "search", index, "--query-embeddings", queries, "--output", str(run), "-k", "3")
    best = [line.split() for line in run.read_text().splitlines() if line.split()[3] == "1"]
    if [(fields[0], fields[2]) for fields in best] != [(str(i), str(i)) for i in range(5)]:
        raise SystemExit(f"rows do not find themselves: {best}")
    described = json.loads(command("cluscomp", "inspect", index, "--json"))
    doctor = json.loads(command("cluscomp", "doctor", "--json"))
    print(f"inspect: {described['key']}, {described['n_total']} rows; doctor: simd {doctor['simd']}")


def main() -> None:
    vectors = np.random.default_rng(7).standard_normal((3000, 64)).astype(np.float32)
    check_environment("--extras" in sys.argv)
    with TemporaryDirectory() as name:
        check_python(vectors, Path(name))
        check_commands(vectors, Path(name))
    if "torch" in sys.modules:
        raise SystemExit("torch was imported")
    print("the core works without its extras")


if __name__ == "__main__":
    main()
