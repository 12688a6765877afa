"""Several processes: reductions, and a gather that gradients pass through.

Everything works the same in one process without torch.distributed. Processes are started by `torchrun` or
`accelerate launch`.
"""

from __future__ import annotations

import atexit
import functools
import os
from typing import TYPE_CHECKING, Any

from cluscomp import checks

if TYPE_CHECKING:
    from torch import Tensor


def start_processes(device: str | None) -> None:
    """Join the group of processes that the launcher's variables describe; nothing without a launcher.

    device: of the models that will be loaded; None: CUDA, else CPU. "cuda" is then, in each process, the GPU
    that has its number on the machine.
    """
    import torch
    import torch.distributed as dist

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        on_gpu = torch.cuda.is_available() if device is None else device.startswith("cuda")
        if on_gpu and "LOCAL_RANK" in os.environ:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(_leave)  # gloo's threads abort a process that ends without it


def stop_processes() -> None:
    """Wait for all processes, then leave the group; nothing without one.

    For the end of a program in which all went well: no process closes its connections while another still
    uses them. Several trainings in one program share the group, which cannot be joined again.
    """
    barrier()
    _leave()


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_spread() -> bool:
    """Whether there are several processes."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank_and_size() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    import torch.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if is_spread() else (0, 1)


def all_reduce(values: Tensor, op: str) -> Tensor:
    """Elementwise "sum" or "max" over all processes, as a new tensor without gradient."""
    import torch.distributed as dist

    if not is_spread():
        return values
    ops: dict[str, Any] = {"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX}
    total = values.detach().clone()
    dist.all_reduce(total, op=ops[checks.one_of("op", op, ops)])
    return total


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of ranks; every process must bring as many.

    With autograd, as one large batch in one process: the gradient of a row is the sum of those that all
    processes give it ("differentiable cross-device sampling", MoPQ, Xiao et al., EMNLP 2021).
    """
    if not is_spread():
        return rows
    gathered: Tensor = _gather_function().apply(rows)
    return gathered


@functools.cache
def _gather_function() -> Any:
    """The autograd function of `gather_rows`, made when torch is there."""
    import torch
    import torch.distributed as dist

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, rows: Tensor) -> Tensor:
            rows = rows.contiguous()
            parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
            dist.all_gather(parts, rows)
            ctx.n_rows = rows.shape[0]
            return torch.cat(parts)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            total = all_reduce(gradients[0], "sum")
            start = dist.get_rank() * ctx.n_rows
            return total[start : start + ctx.n_rows]

    return Gather


def average_gradients(parameters: list[Tensor]) -> None:
    """Replace the gradients by their means over all processes (zeros where a process has none)."""
    if not is_spread():
        return
    import torch

    _, size = rank_and_size()
    for parameter in parameters:
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = all_reduce(gradient, "sum") / size


def barrier() -> None:
    """Wait for all processes."""
    import torch.distributed as dist

    if is_spread():
        dist.barrier()
