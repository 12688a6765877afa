"""Other indexes of the same documents, scored on the same queries, for one table of `cluscomp eval`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import files
from cluscomp.cli import output
from cluscomp.cli.common import flag

if TYPE_CHECKING:
    from cluscomp.eval.retrieval import EvalReport
    from cluscomp.indexes.any_index import AnyIndex

Beside = Annotated[
    list[Path] | None,
    flag(
        "--beside",
        help="Another index of the same documents, for one table of all; may be given several times.",
        env=False,
        metavar="INDEX",
    ),
]


@dataclass(frozen=True)
class Figures:
    """Quality, size and speed of an index: a row of the table."""

    index: str
    key: str
    metrics: dict[str, float]
    code_bytes_per_document: float | None
    bytes_per_document: float
    latency_p50_ms: float
    queries_per_second: float

    @classmethod
    def of(cls, folder: Path, index: AnyIndex, report: EvalReport) -> Figures:
        """What a report says of the index in a folder."""
        return cls(
            str(folder),
            str(index.key),
            report.metrics,
            report.code_bytes_per_document,
            files.folder_bytes(folder) / report.n_docs,
            report.latency_p50_ms,
            report.queries_per_second,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def show(rows: list[Figures], label: Callable[[str], str], *, err: bool) -> None:
    """Print the figures of all indexes as one table. label: a metric as papers write it."""
    metrics = list(rows[0].metrics)
    cells = [
        (
            Path(row.index).name,
            row.key,
            *(f"{row.metrics[name]:.4f}" for name in metrics),
            "" if row.code_bytes_per_document is None else f"{row.code_bytes_per_document:.1f}",
            f"{row.bytes_per_document:.1f}",
            f"{row.latency_p50_ms:.2f} ms",
        )
        for row in rows
    ]
    head = ["index", "key", *map(label, metrics), "code bytes / document", "bytes / document", "latency p50"]
    output.result_table(head, cells, err=err)
