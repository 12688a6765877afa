"""16-bit rows are read as they are: no operation makes a float32 copy of all of them.

Each runs in a process that may take little memory beyond the rows, which are a file mapped for reading (such pages do
not count): a converted copy of the whole would fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

N, D = 600_000, 64
ALLOWED = 120 << 20  # the float32 copy would take 146 MiB, a 16-bit one 73

PROGRAM = """
import resource, sys, warnings
import numpy as np
import cluscomp as cc
from cluscomp import native
warnings.simplefilter("ignore")
native.set_num_threads(1)
path, kind, allowed = sys.argv[1], sys.argv[2], int(sys.argv[3])
x = np.load(path, mmap_mode="r")
few = np.array(x[:300])
if kind == "bfloat16":
    import torch
    torch.set_num_threads(1)
    few = torch.from_numpy(few.view(np.uint16)).view(torch.bfloat16)
    x = torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16)
n, d = x.shape
np.ones((500, 500)) @ np.ones((500, 500))  # the library's own memory
{setup}
taken = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (taken * 1024 + allowed, resource.RLIM_INFINITY))
{work}
print("done")
"""

OPERATIONS = {
    "assign": "|cc.assign(x, few, metric='cosine', return_scores=True)",
    "kmeans": "|cc.KMeans(8, n_iter=2).fit(x).predict(x)",
    "kmeans_cosine": "|cc.KMeans(8, n_iter=2, metric='cosine', init='k-means++').fit(x)",
    "spherical": "|cc.SphericalKMeans(8, n_iter=2).fit(x)",
    "balanced": "|cc.BalancedKMeans(4, n_iter=1).fit(x[: n // 4])",
    "tree": "|cc.KMeansTree(8, leaf_size=n // 2, n_iter=1, balance='none').fit(x)",
    "hierarchical": "|cc.HierarchicalKMeans((20, 4), n_iter=1, init='random').fit(x)",
    "sinkhorn_points": "|cc.sinkhorn_points(x, few[:8], epsilon=50.0, n_iter=2)",
    "pool": "|cc.pool_tokens(x, np.full(n // 100, 100), factor=20, method='sequential')",
    "pool_support": "|cc.pool_tokens(x, np.full(n // 100, 100), factor=20, method='support', sample=few)",
    "maxsim": "|cc.maxsim(few, [300], x, np.full(n // 100, 100))",
    "fde": "|cc.fde_encode(x, np.full(n // 400, 400), side='document', k_sim=2, repetitions=2)",
    "pca": "from cluscomp.quantization import train_pca|train_pca(x, 8).apply(x)",
    "pq": "|cc.ProductQuantizer(d, 16, 4, n_iter=1).train(x).encode(x)",
    "sq8": "from cluscomp.quantization import ScalarQuantizer8|ScalarQuantizer8(d).train(x).encode(x)",
    "index": "i = cc.index_factory('IVF8,SQ8', d, 'ip')|i.train(x); i.add(x); i.search(few, 3)",
    "index_trained_on_all": "import cluscomp.indexes.contents as m; m.training_rows = lambda spec: 10**9;"
    "i = cc.index_factory('IVF8,SQ8', d, 'l2')|i.train(x)",
}
BFLOAT16 = ("assign", "tree", "pq", "index_trained_on_all")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows as float16 and as bits of bfloat16 (behind the dtype float16, for the file's header)."""
    folder = tmp_path_factory.mktemp("half")
    few = np.random.default_rng(0).standard_normal((1000, D), dtype=np.float32)
    rows = (few[np.arange(N) % 1000] + np.linspace(0, 1, N, dtype=np.float32)[:, None]).astype(np.float32)
    np.save(folder / "float16.npy", rows.astype(np.float16))
    np.save(folder / "bfloat16.npy", (rows.view(np.uint32) >> 16).astype(np.uint16))
    return {kind: folder / f"{kind}.npy" for kind in ("float16", "bfloat16")}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to know what a process holds")
@pytest.mark.parametrize(
    ("name", "kind"), [(name, "float16") for name in OPERATIONS] + [(name, "bfloat16") for name in BFLOAT16]
)
def test_no_converted_copy(name: str, kind: str, files: dict[str, Path]) -> None:
    if kind == "bfloat16":
        pytest.importorskip("torch")
    setup, work = OPERATIONS[name].split("|")
    program = PROGRAM.format(setup=setup, work=work)
    command = [sys.executable, "-c", program, str(files[kind]), kind, str(ALLOWED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr
