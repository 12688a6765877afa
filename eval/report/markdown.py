"""The rows of a comparison as Markdown tables, one a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from cluscomp.errors import EmptyInputError
from cluscomp.eval.compare.elsewhere import TRAINED_ON
from cluscomp.eval.report.labels import (
    Row,
    elsewhere_cells,
    exact_searches,
    number,
    rounded,
    settings,
    thorough,
)

TOLERANCE = 0.1
"""Of a core: what a system does by itself."""


def render_markdown(rows: Sequence[Row], *, title: str, command: str = "", notes: Sequence[str] = ()) -> str:
    """A page with machine, versions, seeds, and a table for each dataset.

    command: that makes the page, shown on it. Raises EmptyInputError without a measured row.
    """
    good = [row for row in rows if row.get("error") is None]
    if not good:
        raise EmptyInputError("there is no measured row to report")
    parts = [f"# {title}", *_head(good, command)]
    parts += _summary(good)
    for name in dict.fromkeys(row["dataset"] for row in good):
        parts += _section(name, [row for row in good if row["dataset"] == name])
    failed = [f"{row['dataset']}, `{row['label']}`: {row['error']}" for row in rows if row.get("error")]
    if failed or notes:
        parts += ["## Not measured", "\n".join(f"* {line}" for line in [*notes, *failed])]
    return "\n\n".join(parts) + "\n"


def _head(rows: Sequence[Row], command: str) -> list[str]:
    def values(name: str) -> str:
        return ", ".join(dict.fromkeys(str(row[name]) for row in rows if row.get(name) is not None))

    versions = ", ".join(dict.fromkeys(f"{row['library']} {row['version']}" for row in rows))
    loads = [row["load"] or 0.0 for row in rows]
    lines = [f"Made by `{command}`." if command else ""]
    lines.append(
        f"Machine: {values('processor')}, {values('cores')} cores ({values('simd')}), {values('threads')} "
        f"thread(s) used; with others {min(loads):.1f} to {max(loads):.1f} cores busy. Versions: {versions}; "
        f"Python {values('python')}, NumPy {values('numpy')}. Seed {values('seed')} (faiss, ScaNN and "
        f"usearch have their own). Measured {min(row['measured_at'] for row in rows)[:10]}."
    )
    lines.append(
        "Bytes a document are all files that the library stores, without ids of documents. `exact` is the "
        "share of the 10 nearest documents by uncompressed vectors among the first 10 hits. `loses <`: with "
        "95% confidence nDCG@10 is below the uncompressed search by less than this."
    )
    elsewhere = {row["dataset"]: row[TRAINED_ON] for row in rows if row.get(TRAINED_ON)}
    if elsewhere:
        lines.append(
            "`elsewhere`: nDCG@10 and `exact` of the same key, with lists, rotations and codebooks trained "
            "on the documents of another collection: "
            f"{', '.join(f'{there} for {here}' for here, there in elsewhere.items())}. "
            "A dash stands where nothing is trained, or nothing can be trained apart."
        )
    if any(row.get("vectors") == "tokens" for row in rows):
        lines.append(
            "Keys that begin with `Pool`, and those of other late-interaction libraries, hold documents as "
            "token vectors. Their uncompressed search is MaxSim over all token vectors."
        )
    if any(row.get("vectors") == "terms" for row in rows):
        lines.append(
            "Keys `Sparse(bm25...)` hold the words of the texts. Their uncompressed search is BM25 with "
            "weights of 32 bits, and `exact` is the share of its first 10."
        )
    if any("+" in row.get("vectors", "") for row in rows):
        lines.append(
            "Keys with + hold vectors and terms, and are compared with the fusion of exact searches of both."
        )
    noisy = sum(not _quiet(row) for row in rows)
    if noisy:
        lines.append(
            f"Times of {noisy} of {len(rows)} rows are left out: other processes took more than the "
            "free cores meanwhile."
        )
    return [line for line in lines if line]


def _quiet(row: Row) -> bool:
    """Whether the machine was free enough for the row's times to mean something."""
    return (row["load"] or 0.0) <= row["cores"] + TOLERANCE


def _summary(rows: Sequence[Row]) -> list[str]:
    """Quality of each key on all datasets, at the setting that finds most; nothing for one dataset."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    if len(datasets) < 2:
        return []
    recall = f"recall@{rows[0]['k']}"
    labels = list(dict.fromkeys(row["label"] for row in rows))
    lines = [f"| key | {' | '.join(datasets)} |", "| --- |" + " ---: |" * len(datasets)]
    for label in labels:
        cells = []
        for name in datasets:
            mine = [row for row in rows if row["label"] == label and row["dataset"] == name]
            best = thorough(mine) if mine else {}
            cells.append(f"{number(best['ndcg@10'])} / {number(best[recall], 3)}" if best else "-")
        lines.append(f"| `{label}` | {' | '.join(cells)} |")
    about = f"nDCG@10 / {recall.capitalize()} of each key at the setting that finds most:"
    return ["## Summary", about, "\n".join(lines)]


def _section(name: str, rows: Sequence[Row]) -> list[str]:
    first = rows[0]
    recall = f"recall@{first['k']}"
    columns = ["key", "search", "bytes / document", "nDCG@10", recall.capitalize(), "exact", "loses <",
               "queries / s", "p50 ms", "p99 ms"]  # fmt: skip
    elsewhere = any(row.get(TRAINED_ON) for row in rows)
    if elsewhere:
        columns[6:6] = ["elsewhere nDCG@10", "elsewhere exact"]
    timed = any(map(_quiet, rows))
    columns = columns[: None if timed else -3]
    table = [f"| {' | '.join(columns)} |", "| --- | --- |" + " ---: |" * (len(columns) - 2)]
    for row in rows:
        cells = [
            f"`{row['label']}`",
            settings(row),
            rounded(row["bytes_per_document"]),
            number(row["ndcg@10"]),
            number(row[recall]),
            number(row["exact_recall@10"], 3),
            *elsewhere_cells(row) * elsewhere,
            number(row["loss_below"]),
            *(
                rounded(row[name] if _quiet(row) else None)
                for name in ("queries_per_second", "latency_p50_ms", "latency_p99_ms")
            ),
        ]
        table.append(f"| {' | '.join(cells[: len(columns)])} |")
    about = f"{first['n_docs']} documents, {first['n_queries']} queries, {first['dim']} dimensions. "
    about += " ".join(exact_searches(rows))
    return [f"## {name}", about, "\n".join(table)]
