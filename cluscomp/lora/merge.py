"""Merging LoRA adapters into one of a chosen rank."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import DimensionError, InputError, OutputExistsError, UsageError
from cluscomp.files import atomic_json, new_file
from cluscomp.folders import check_target, new_folder
from cluscomp.lora.adapter import DTYPES, PREFIX, WEIGHTS_NAME, Adapter, Module, open_adapter
from cluscomp.lora.config import CONFIG_NAME, check_regex, match_pattern
from cluscomp.lora.rebuild import Method, equal_magnitudes, rebuild
from cluscomp.lora.report import MergeReport, ModuleReport, module_report
from cluscomp.lora.safetensors_file import TensorWriter
from cluscomp.progress import Progress
from cluscomp.vocabulary import UNIT_CLUSTERINGS

REPORT_NAME = "cluscomp_merge.json"


def merge_adapters(
    paths: Sequence[str | Path] | str | Path,
    *,
    rank: int,
    output: str | Path,
    weights: Sequence[float] | None = None,
    balance_norms: bool = False,
    parameter_reweighting: bool = True,
    output_reweighting: bool = True,
    seed: int = 0,
    clustering: str = "kmeans",
    rank_pattern: Mapping[str, int] | None = None,
    base_model: str | None = None,
    if_exists: str = "fail",
    progress: Progress | None = None,
) -> MergeReport:
    """Merge PEFT LoRA adapters of one base model into an adapter folder of rank `rank`; one path shrinks it.

    In each module the rank units of all adapters (row i of A beside column i of B, with alpha / r, or alpha /
    sqrt(r) for rank-stabilised LoRA, folded into b) are clustered, and each cluster becomes one unit. A
    module with no more units than its rank keeps them as they are, so with both reweightings off and rank =
    total rank the result is the sum of the adapters; n copies of one give that one at its own rank. Between
    the two the size of the update depends on the rank. Only factors are read, one module at a time.

    Writes adapter_config.json, adapter_model.safetensors and the report as cluscomp_merge.json, all or
    nothing. Factors have the dtype of the inputs, float32 where these differ; in float16 the two factors of a
    unit share its magnitude, and what float16 would still lose is float32 (`MergeReport.wide`). Modules left
    with fewer units than the greatest rank stand in rank_pattern.

    Source: Zhao et al., "Merging LoRAs like playing LEGO" (arXiv 2409.16167).

    Args:
        paths: adapter folders as PEFT saves them (adapter_config.json, adapter_model.safetensors); one path
            is allowed. Ranks, alphas and targeted modules may differ.
        rank: most units a module.
        output: folder to write.
        weights: factor of each adapter's update, finite and not 0; None: all 1.
        balance_norms: first scale each unit so that |a| = |b|, which leaves its update alone: clusters then
            do not depend on how A and B share their length.
        parameter_reweighting: give each mean the mean norm of its members (averaging shortens it).
        output_reweighting: scale the update of a module by sqrt(mean source rank / merged rank). The paper's
            formula could not be read in full: this one is reconstructed.
        seed: of the clustering.
        clustering: "kmeans", or "balanced" (all clusters of a module have the same number of units, give or
            take one).
        rank_pattern: other ranks for modules that match a regular expression, as PEFT matches rank_pattern.
        base_model: says that all adapters belong to this model, however their configurations name it.
        if_exists: "fail" or "replace" (only what a merge made).
        progress: called as progress(stage, done, total) in modules.

    Returns:
        A `MergeReport`: what was merged, module by module.

    Raises:
        UsageError: a parameter cannot work.
        OutputExistsError, DiskFullError: the output cannot be written.
        MissingInputError, MalformedFileError: an adapter is missing or damaged.
        InputError: DoRA, biases, modules_to_save, other kinds, or other base models.
        DimensionError, EmptyInputError, NonFiniteError: factors are wrong.
    """
    folders = [Path(p) for p in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    method = Method(clustering, balance_norms, parameter_reweighting, output_reweighting, seed)
    patterns = dict(rank_pattern or {})
    factors = _check_call(folders, rank, weights, method, patterns)
    target = checks.path("output", output)
    _check_output(target, if_exists, folders)
    adapters = [open_adapter(folder) for folder in folders]
    config = _shared_config(adapters, base_model)
    plan = _plan(adapters, rank, patterns)
    dtype = _output_dtype(adapters)
    settings = {
        "adapters": [str(folder) for folder in folders],
        "weights": factors,
        "rank": rank,
        "rank_pattern": patterns,
        **asdict(method),
    }
    size = sum(k * sum(module.widths) for module, k in plan.values()) * DTYPES[dtype].itemsize
    with new_folder(target, size) as folder:
        with new_file(folder / WEIGHTS_NAME) as file:
            writer = TensorWriter(file, dtype, _longest(plan))
            reports = []
            for name in plan:
                reports.append(_merge_module(adapters, factors, name, plan[name][1], method, writer))
                if progress is not None:
                    progress("modules", len(reports), len(plan))
            writer.finish()
        report = MergeReport(settings, tuple(reports), tuple(writer.wide))
        atomic_json(folder / CONFIG_NAME, {**config, **_rank_fields(reports)})
        atomic_json(folder / REPORT_NAME, report.to_json())
    return report


Plan = dict[str, tuple[Module, int]]


def _check_call(
    folders: list[Path], rank: int, weights: Sequence[float] | None, method: Method, patterns: dict[str, int]
) -> list[float]:
    """The weights as floats, when nothing is wrong with the call."""
    if not folders:
        raise UsageError("no adapters are given; name at least one adapter folder")
    for name, value in (("rank", rank), *((f"rank of {p!r}", r) for p, r in patterns.items())):
        checks.integer(name, value, 1)
    for pattern in patterns:
        check_regex(pattern, "rank_pattern")
    checks.one_of("clustering", method.clustering, UNIT_CLUSTERINGS)
    factors = [1.0] * len(folders) if weights is None else [float(w) for w in weights]
    if len(factors) != len(folders):
        raise UsageError(f"there are {len(factors)} weights for {len(folders)} adapters; give one each")
    for folder, factor in zip(folders, factors, strict=True):
        if not math.isfinite(factor) or factor == 0:
            raise UsageError(f"the weight of {folder} is {factor}; leave an adapter out instead of weight 0")
    return factors


def _check_output(target: Path, if_exists: str, sources: list[Path]) -> None:
    if target.exists() and any(source.exists() and target.samefile(source) for source in sources):
        raise OutputExistsError(f"{target} is one of the adapters to merge; choose another output")
    check_target(target, if_exists, "a merged adapter", lambda folder: (folder / REPORT_NAME).is_file())


def _shared_config(adapters: list[Adapter], base_model: str | None) -> dict[str, Any]:
    """What the merged adapter's configuration takes over. Raises InputError where the adapters disagree."""
    first = adapters[0].config
    for other in (adapter.config for adapter in adapters[1:]):
        mine, theirs = (first.base_model, first.revision), (other.base_model, other.revision)
        if base_model is None and mine != theirs:
            raise InputError(
                f"the adapters belong to different base models: {_model(*mine)} ({first.path}) and "
                f"{_model(*theirs)} ({other.path}); if these are one model under two names, say which "
                "(base_model='NAME')"
            )
        if other.fan_in_fan_out != first.fan_in_fan_out:
            raise InputError(
                f"fan_in_fan_out is {first.fan_in_fan_out} in {first.path} and {other.fan_in_fan_out} in "
                f"{other.path}; it belongs to the base model's layers and cannot differ"
            )
    same_task = all(adapter.config.task_type == first.task_type for adapter in adapters)
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": base_model or first.base_model,
        "revision": first.revision if base_model is None else None,
        "task_type": first.task_type if same_task else None,
        "auto_mapping": first.auto_mapping,
        "fan_in_fan_out": first.fan_in_fan_out,
        "bias": "none",
        "lora_dropout": 0.0,
        "use_rslora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def _model(name: str | None, revision: str | None) -> str:
    shown = repr(name) if name else "a model without a name"
    return f"{shown} at revision {revision!r}" if revision else shown


def _plan(adapters: list[Adapter], rank: int, patterns: dict[str, int]) -> Plan:
    """Each module of the union, with the most units it can have then; checks shapes across adapters."""
    plan: Plan = {}
    totals: dict[str, int] = {}
    owner: dict[str, Adapter] = {}
    for adapter in adapters:
        for name, module in adapter.modules.items():
            known = plan.get(name, (module, 0))[0]
            owner.setdefault(name, adapter)
            if (known.widths, known.is_embedding) != (module.widths, module.is_embedding):
                raise DimensionError(
                    f"module {name} maps {known.widths[0]} to {known.widths[1]} in "
                    f"{owner[name].config.path}, "
                    f"but {module.widths[0]} to {module.widths[1]} in {adapter.config.path}; adapters of "
                    "different base models cannot be merged"
                )
            totals[name] = totals.get(name, 0) + module.rank
            plan[name] = known, min(totals[name], match_pattern(patterns, name, rank))
    for pattern in patterns:
        if all(match_pattern({pattern: 1}, name, 0) == 0 for name in plan):
            raise UsageError(f"rank_pattern {pattern!r} matches no module, such as {next(iter(plan))!r}")
    return dict(sorted(plan.items()))


def _output_dtype(adapters: list[Adapter]) -> str:
    dtypes = {t.dtype for adapter in adapters for m in adapter.modules.values() for t in (m.a, m.b)}
    return dtypes.pop() if len(dtypes) == 1 and dtypes <= {"F16", "BF16"} else "F32"


def _tensor_names(module: Module) -> tuple[str, str]:
    a, b = "lora_A.weight", "lora_B.weight"
    if module.is_embedding:
        a, b = "lora_embedding_A", "lora_embedding_B"
    return f"{PREFIX}{module.name}.{a}", f"{PREFIX}{module.name}.{b}"


def _longest(plan: Plan) -> Iterator[tuple[str, tuple[int, int]]]:
    for module, k in plan.values():
        name_a, name_b = _tensor_names(module)
        yield name_a, (k, module.widths[0])
        yield name_b, (module.widths[1], k)


def _merge_module(
    adapters: list[Adapter], factors: list[float], name: str, rank: int, method: Method, writer: TensorWriter
) -> ModuleReport:
    """Merge one module, write its factors, and say what was kept."""
    pooled, ranks = [], []
    for adapter, factor in zip(adapters, factors, strict=True):
        module = adapter.modules.get(name)
        ranks.append(0 if module is None else module.rank)
        if module is not None:
            pooled.append(adapter.units(module, factor))
            found = module
    units = np.concatenate(pooled) if len(pooled) > 1 else pooled[0]
    d_in = found.widths[0]
    rebuilt = rebuild(units, d_in, rank, sum(ranks) / len(pooled), method)
    made = rebuilt.units if rebuilt.units.shape[0] else np.zeros((1, units.shape[1]), np.float32)
    name_a, name_b = _tensor_names(found)
    a, b = made[:, :d_in], made[:, d_in:]
    if writer.dtype == "F16":
        a, b = equal_magnitudes(a, b)
    writer.write(name_a, a)
    writer.write(name_b, b.T)
    return module_report(name, tuple(ranks), rebuilt)


def _rank_fields(reports: list[ModuleReport]) -> dict[str, Any]:
    """r, alpha and their patterns, so that every module has scale 1; names are matched in full."""
    ranks = {report.module: max(1, report.rank) for report in reports}
    most = max(ranks.values())
    fewer = {f"^{re.escape(name)}": k for name, k in ranks.items() if k < most}
    return {
        "r": most,
        "lora_alpha": most,
        "rank_pattern": fewer,
        "alpha_pattern": fewer,
        "target_modules": list(ranks),
    }
