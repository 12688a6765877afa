"""`cluscomp fuse`: several TREC runs of the same queries become one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.paths import STDOUT
from cluscomp.vocabulary import FusionMethod, Normalisation

if TYPE_CHECKING:
    from cluscomp.eval.fusion_weight import TunedWeight


@exits_by_contract
def fuse(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="TREC run files.", show_default=False)
    ],
    output_file: Annotated[
        Path, flag("--output", "-o", help="TREC run file to write; - for stdout.", env=False)
    ],
    method: Annotated[
        FusionMethod,
        flag("--method", help="cc: normalised scores; rrf: reciprocal ranks, often worse.", env=False),
    ] = "cc",
    weights: Annotated[
        str | None, flag("--weights", help="One number a run, as in .6,.4. (default: all equal)", env=False)
    ] = None,
    depth: Annotated[
        int, flag("--depth", help="Documents of each run and query that take part.", env=False, min=1)
    ] = 100,
    c: Annotated[float, flag("--c", help="Constant of rrf: 1 / (c + rank).", env=False, min=0)] = 60,
    normalise: Annotated[
        Normalisation, flag("--normalise", help="How cc scales the scores of a run.", env=False)
    ] = "minmax",
    minima: Annotated[
        str | None,
        flag("--minima", help="Least score of each run, for --normalise tmm: -1,0.", env=False),
    ] = None,
    tune: Annotated[
        Path | None,
        flag("--tune", help="Judgements to choose the weight of two runs on; see --folds.", env=False),
    ] = None,
    folds: Annotated[
        int, flag("--folds", help="Parts of the judged queries; each is measured held out.", env=False, min=2)
    ] = 5,
    seed: common.Seed = 0,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Fuse the rankings of several searches, such as one by vectors and one by words.

    Each run gives a document its score, scaled to 0..1 over the best --depth documents of the query; a
    document that a run does not list gets 0 from it. --tune chooses the weight of two runs on judged queries,
    and reports nDCG@10 of queries that had no part in the choice.

    Example: cluscomp fuse dense.trec bm25.trec --output fused.trec
    """
    from cluscomp.eval.fusion import fuse_runs
    from cluscomp.eval.runs import read_run, write_run

    if output_file == STDOUT and as_json:
        raise errors.UsageError("--output - and --json both write to standard output; choose one of them")
    _check_tuning(tune, method, weights, normalise)
    read = [read_run(path) for path in runs]
    tuned = None if tune is None else _tuned(read, tune, folds, depth, seed)
    fused = fuse_runs(
        read,
        method=method,
        weights=parse_numbers("--weights", weights) if tuned is None else (tuned.weight, 1 - tuned.weight),
        depth=depth,
        c=c,
        normalise=normalise,
        minima=parse_numbers("--minima", minima),
    )
    if output_file == STDOUT:
        output.result_run(fused)
    else:
        write_run(fused, output_file)
    _show(fused, tuned, runs, output_file, as_json)


def parse_numbers(name: str, text: str | None) -> list[float] | None:
    """The numbers of ".5,.5"; None for None. Raises UsageError."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as exc:
        raise errors.UsageError(f"{name} is {text!r}; write numbers with commas, as in .5,.5") from exc


def _check_tuning(tune: Path | None, method: str, weights: str | None, normalise: str) -> None:
    if tune is None:
        return
    if weights is not None:
        raise errors.UsageError("--tune chooses the weights, and --weights names them; leave one of them out")
    if (method, normalise) != ("cc", "minmax"):
        raise errors.UsageError(
            "--tune chooses the weight of --method cc with --normalise minmax, "
            f"not of {method} with {normalise}"
        )


def _tuned(
    read: list[dict[str, dict[str, float]]], judgements: Path, folds: int, depth: int, seed: int
) -> TunedWeight:
    from cluscomp.eval.fusion_weight import tune_weight
    from cluscomp.eval.qrels import read_qrels

    return tune_weight(read, read_qrels(judgements), folds=folds, depth=depth, seed=seed)


def _show(
    fused: dict[str, dict[str, float]], tuned: TunedWeight | None, runs: list[Path], path: Path, as_json: bool
) -> None:
    n_hits = sum(map(len, fused.values()))
    if as_json:
        facts = {"output": str(path), "queries": len(fused), "hits": n_hits}
        output.result_json(facts | ({} if tuned is None else {"tuned": tuned.to_json()}))
        return
    if tuned is not None:
        weights = ", ".join(f"{weight:g}" for weight in sorted(set(tuned.by_fold)))
        rows = [
            (str(runs[0]), "1", f"{tuned.first:.4f}"),
            (str(runs[1]), "0", f"{tuned.second:.4f}"),
            ("fused", "0.5", f"{tuned.equal:.4f}"),
            ("fused, held out", weights, f"{tuned.held_out:.4f}"),
        ]
        output.result_table(["", f"weight of {runs[0]}", "nDCG@10"], rows, err=path == STDOUT)
        output.note(
            f"the weights {tuned.weight:g} and {1 - tuned.weight:g} were chosen on all judged queries"
        )
    if path != STDOUT:
        output.result(f"{path}: {len(fused)} queries, {n_hits} hits of {len(runs)} runs")
