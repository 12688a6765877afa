"""The command that makes a row again."""

from __future__ import annotations

import shlex

from cluscomp.eval.compare.adapter import Adapter
from cluscomp.eval.compare.collection import Collection
from cluscomp.eval.compare.config import CompareConfig
from cluscomp.eval.compare.loading import shown_path


def rebuild_command(
    config: CompareConfig, candidate: Adapter, collection: Collection, parameters: dict[str, int]
) -> str:
    """Commands that build the index of a row and score it; for other libraries, a comparison of that row."""
    if candidate.library == "cluscomp":
        return _own_commands(config, candidate, collection, parameters)
    file = "CONFIG.toml" if config.file is None else shlex.quote(shown_path(config.file))
    key = shlex.quote(f"{candidate.library}:{candidate.key}")
    return f"cluscomp compare {file} --only-dataset {shlex.quote(collection.name)} --only-key {key}"


def _own_commands(
    config: CompareConfig, candidate: Adapter, collection: Collection, parameters: dict[str, int]
) -> str:
    folder = shlex.quote(f"{collection.name}-{candidate.key}.index".replace("/", "-"))
    build = (
        f"cluscomp build-index {collection.flags} --metric {collection.metric} "
        f"--index-key {shlex.quote(candidate.key)} --seed {config.seed} --output {folder}"
    )
    if not collection.eval_flags.startswith("--dataset"):
        return build
    settings = "".join(f" --{name.replace('_', '-')} {value}" for name, value in parameters.items())
    return f"{build}\ncluscomp eval {folder} {collection.eval_flags} -k {config.k}{settings}"
