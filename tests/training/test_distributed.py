"""Two processes give the plan and the gradients of one, and train under torchrun."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

pytest.importorskip("torch")

PROGRAM = """
import sys
import torch
from cluscomp.training import distributed
from cluscomp.training.transport import balanced_plan

distributed.start_processes("cpu")
rank, size = distributed.rank_and_size()
assert size == 2
rng = torch.Generator().manual_seed(0)

# Sinkhorn: 40 documents, 24 here and 16 there
cost = torch.rand(3, 40, 8, generator=rng, dtype=torch.float64)
mine = cost[:, :24] if rank == 0 else cost[:, 24:]
for scale, epsilon in (("absolute", 0.02), ("range", 0.005)):
    settings = {"epsilon": epsilon, "n_iter": 60, "tol": 1e-7, "cost_scale": scale}
    spread = balanced_plan(mine, all_reduce=distributed.all_reduce, **settings)
    whole = balanced_plan(cost, **settings)
    part = whole.plan()[:, :24] if rank == 0 else whole.plan()[:, 24:]
    assert spread.n_iter == whole.n_iter
    assert torch.allclose(spread.plan(), part, rtol=1e-9, atol=1e-15)
    assert torch.allclose(spread.col_exponent, whole.col_exponent)
    codes = whole.codes()[:24] if rank == 0 else whole.codes()[24:]
    assert torch.equal(spread.codes(), codes)

# gathered rows: the gradient of one large batch
x, w = torch.randn(6, 4, generator=rng), torch.randn(4, 4, generator=rng)

def loss(rows, everything):
    return (rows @ everything.T).logsumexp(dim=1).mean()

weight = w.clone().requires_grad_()
loss(x @ weight, x @ weight).backward()
own = w.clone().requires_grad_()
rows = x[rank * 3 : rank * 3 + 3] @ own
loss(rows, distributed.gather_rows(rows)).backward()
distributed.average_gradients([own])
assert torch.allclose(own.grad, weight.grad, atol=1e-5), (own.grad, weight.grad)

# what is no gradient's business: numbers, in the order of ranks
assert distributed.gather_rows(torch.tensor([rank, 7])).tolist() == [0, 7, 1, 7]

distributed.stop_processes()
assert not distributed.is_spread()
print("equal", rank)
"""


def test_two_processes_equal_one():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env={**os.environ, **settings, "RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [worker.communicate(timeout=600)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
    assert all(f"equal {rank}" in output for rank, output in enumerate(outputs))


def test_a_whole_training_under_torchrun(collection, tiny_model, tmp_path):
    """Both stages; the first process alone prints and writes, and all end well."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "cluscomp", "--", "train", "repconc", "--corpus", collection, "--encoder", tiny_model,
        "--output", tmp_path / "out", "--m", "4", "--nbits", "4", "--batch-size", "8", "--balance-rows", "64",
        "--joint-epochs", "1", "--jpq-epochs", "1", "--json",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]  # one document, so one process printed
    assert {name: stage["steps"] for name, stage in stages.items()} == {"joint": 3, "jpq": 3}
    assert done.stderr.count("joint step 1:") == done.stderr.count("documents: 120 done") == 1
    assert (tmp_path / "out" / "codec" / "codec.json").is_file()
