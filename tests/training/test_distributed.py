"""Two processes give the plan and the gradients of one, and train when two machines start them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from tiny_models import save_tiny_model

from cluscomp.errors import UsageError

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def together(commands: list[list[str]], environments: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Outputs (stdout, stderr) of processes that run at the same time, all of which must end well."""
    workers = [
        subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1", **added}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for command, added in zip(commands, environments, strict=True)
    ]  # fmt: skip
    outputs = [worker.communicate(timeout=600) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(map("".join, outputs))
    return outputs


def on_two_machines(*arguments) -> list[tuple[str, str]]:
    """The documented command as each of two machines runs it, here both on this one."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}",
        "-m", "cluscomp", "--", "train", *map(str, arguments), "--json",
    ]  # fmt: skip
    return together([command, command], [{}, {}])


def test_two_processes_equal_one():
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    outputs = together([[sys.executable, "-c", PROGRAM]] * 2, [{**shared, "RANK": rank} for rank in "01"])
    assert all(f"equal {rank}" in out for rank, (out, _) in enumerate(outputs))


def test_a_whole_training_by_two_machines(collection, tiny_model, tmp_path):
    """Both stages; the first process alone prints and writes, and all end well."""
    outputs = on_two_machines(
        "repconc", "--corpus", collection, "--encoder", tiny_model, "--output", tmp_path / "out",
        "--m", "4", "--nbits", "4", "--batch-size", "8", "--balance-rows", "64", "--joint-epochs", "1",
        "--jpq-epochs", "1",
    )  # fmt: skip
    printed, said = ("".join(texts) for texts in zip(*outputs, strict=True))
    stages = json.loads(printed)["stages"]  # one document, so one process printed
    assert {name: stage["steps"] for name, stage in stages.items()} == {"joint": 3, "jpq": 3}
    assert said.count("joint step 1:") == said.count("documents: 120 done") == 1
    assert (tmp_path / "out" / "codec" / "codec.json").is_file()


@pytest.mark.slow
def test_crisp_by_two_machines_takes_the_steps_of_one(collection, tmp_path):
    """Without dropout, losses and weights are those of one process but for the order of sums."""
    from safetensors.numpy import load_file

    from cluscomp.training.crisp.pooling import PoolingRule
    from cluscomp.training.crisp.train import CrispSettings, train_crisp

    model = save_tiny_model(tmp_path / "still", dropout=0.0)
    settings = CrispSettings(
        documents=PoolingRule(vectors=4), epochs=2, batch_size=8, learning_rate=1e-3, scale=2.0
    )
    wanted = train_crisp(collection, str(model), tmp_path / "one", settings)
    outputs = on_two_machines(
        "crisp", "--corpus", collection, "--encoder", model, "--output", tmp_path / "two", "--budget", "4",
        "--epochs", "2", "--batch-size", "8", "--learning-rate", "1e-3", "--scale", "2", "--save-every", "2",
    )  # fmt: skip
    printed, said = ("".join(texts) for texts in zip(*outputs, strict=True))
    found = json.loads(printed)
    assert found["steps"] == wanted.steps == 6 and found["pairs"] == wanted.pairs
    np.testing.assert_allclose(found["losses"], wanted.losses, rtol=2e-5)
    assert said.count(f"step {wanted.steps} of {wanted.steps}:") == 1
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, values in one.items():
        if not name.endswith("key.bias"):  # whose gradient is 0 but for rounding, which Adam scales up
            np.testing.assert_allclose(two[name], values, atol=2e-4, err_msg=name)
    assert not list(tmp_path.glob(".two*"))
    again = on_two_machines(
        "crisp", "--corpus", collection, "--encoder", model, "--output", tmp_path / "two", "--budget", "4",
        "--epochs", "2", "--batch-size", "8", "--learning-rate", "1e-3", "--scale", "2",
        "--if-exists", "resume",
    )  # fmt: skip
    assert json.loads("".join(out for out, _ in again))["losses"] == found["losses"]


def test_batches_that_processes_cannot_share(collection, tmp_path, monkeypatch):
    from cluscomp.training.crisp import train

    monkeypatch.setattr(train, "rank_and_size", lambda: (0, 3))
    with pytest.raises(UsageError, match=r"batches of 8 pairs .* 3 processes"):
        train.train_crisp(collection, "none", tmp_path / "out", train.CrispSettings(batch_size=8))
