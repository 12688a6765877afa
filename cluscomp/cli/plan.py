"""`cluscomp plan`: what an index of very many rows takes on machines that are not here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import INFEASIBLE, exits_by_contract
from cluscomp.vocabulary import MetricName

if TYPE_CHECKING:
    from cluscomp.indexes.build import ScalePlan

_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kKmMbB]?)")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


@exits_by_contract
def plan(
    rows: Annotated[str, flag("--rows", help="Vectors: 4000000, 100M or 1B.", env=False)],
    dim: Annotated[int, flag("--dim", help="Their dimension.", env=False, min=1)],
    index_key: Annotated[str, flag("--index-key", "--key", help="Key of the index.", env=False)],
    machines: Annotated[
        str, flag("--machines", help="COUNTxCORESxMEMORY: 8x32x64G is 8 of 32 cores and 64 GB.", env=False)
    ],
    metric: Annotated[MetricName, flag("--metric", help="Similarity to search by.", env=False)] = "ip",
    nprobe: Annotated[
        int | None,
        flag("--nprobe", help="Lists that a query visits. (default: the key's)", env=False, min=1),
    ] = None,
    float32: Annotated[
        bool, flag("--float32", help="The vectors are float32, not float16.", env=False)
    ] = False,
    id_bytes: Annotated[
        int,
        flag(
            "--id-bytes",
            help="Bytes of an id: 0 for consecutive integers, 8 for others, length + 8 for texts.",
            env=False,
            min=0,
        ),
    ] = 0,
    segments: Annotated[
        int | None,
        flag("--segments", help="Of the index. (default: one a machine)", env=False, min=1),
    ] = None,
    measure: Annotated[
        bool, flag("--measure", help="Measure the rates on one core here, in some seconds.", env=False)
    ] = False,
    efficiency: Annotated[
        float, flag("--efficiency", help="Share of the cores' time that does counted work.", env=False, max=1)
    ] = 0.6,
    price: Annotated[
        float, flag("--price", help="Of a core for an hour, in any currency.", env=False, min=0)
    ] = 0.045,
    disk_price: Annotated[
        float, flag("--disk-price", help="Of 10^9 bytes on disk for a month.", env=False, min=0)
    ] = 0.023,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Say what an index of very many rows takes: bytes on disk, memory of each task, time, queries and money.

    Nothing is read or built. Bytes are those of build-index --dry-run. Exit code 3 where a task does not fit
    the memory of a machine.

    Example: cluscomp plan --rows 1B --dim 384 --key OPQ48,IVF131072,PQ48 --machines 16x32x96G --nprobe 64
    """  # fmt: skip
    from cluscomp.indexes.build import plan_scale

    found = plan_scale(
        _count(rows), dim, index_key, machines=machines, metric=metric, nprobe=nprobe,
        source_dtype="float32" if float32 else "float16", id_bytes=id_bytes, segments=segments,
        measure=measure, efficiency=efficiency, price_core_hour=price, price_gb_month=disk_price,
    )  # fmt: skip
    if as_json:
        output.result_json(found.to_json())
    else:
        _show(found)
    raise typer.Exit(0 if found.feasible else INFEASIBLE)


def _count(text: str) -> int:
    """Rows as a number with k, M or B behind it."""
    match = _COUNT.fullmatch(text.strip())
    number = float(match[1]) * _UNITS[match[2].lower()] if match else 0
    if number < 1 or number != int(number):
        raise errors.UsageError(f"--rows {text!r} is no number of rows; write 4000000, 100M or 1B")
    return int(number)


def _time(hours: float) -> str:
    return output.seconds_text(3600 * hours)


def _show(plan: ScalePlan) -> None:
    size, machines = output.size_text, plan.machines
    output.result(
        f"{plan.key}, {plan.metric}: {plan.rows} rows of dim {plan.dim} on {machines.count} machines of "
        f"{machines.cores} cores and {size(machines.memory)}"
    )
    parts = [(name, size(n_bytes)) for name, n_bytes in plan.parts.items()]
    parts += [
        (f"index, {plan.segments} segments", size(plan.index_bytes)),
        ("source", size(plan.source_bytes)),
    ]
    output.result_table(["on disk", "bytes"], [*parts, ("training sample", size(plan.sample_bytes))])
    output.result_table(
        ["task", "machines", "memory of each", "core-hours", "time"],
        [(task.name, str(task.machines), size(task.memory), f"{task.core_hours:.2f}", _time(task.hours))
         for task in plan.tasks],
    )  # fmt: skip
    search = plan.search
    lines = [
        f"build: {plan.core_hours:.1f} core-hours at efficiency {plan.efficiency:g}, {_time(plan.hours)}; "
        f"training on {plan.sample_rows} rows of the {plan.wanted_rows} that the key can use",
        f"search: {search.nprobe} lists and {search.rows_scored:.0f} rows a query, "
        f"{search.core_ms:.3g} core-ms; {search.queries_per_second:.0f} queries a second, "
        f"{size(search.memory)} of the index a machine",
        f"cost: build {plan.build_cost:.2f}, serving {plan.serve_cost_month:.0f} a month, disk "
        f"{plan.store_cost_month:.2f} a month (at {plan.price_core_hour:g} a core-hour, "
        f"{plan.price_gb_month:g} a GB and month)",
        f"training over several machines would send {size(plan.step_bytes)} a machine and step",
        f"rates: {plan.rates.source}: {plan.rates.assign:.3g} and {plan.rates.codebook:.3g} multiply-adds a "
        f"second for lists and codes, {plan.rates.scan:.3g} bytes of codes scored a second",
        "feasible: yes" if plan.feasible else f"feasible: no; {plan.remedy}",
    ]
    for line in lines:
        output.result(line)
