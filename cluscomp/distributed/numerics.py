"""What rounds on a machine: NumPy's BLAS rotates rows, and its sums say how long they are.

Shards that are encoded on unlike machines may have other last bits in the codes of keys that rotate or
normalise rows. The plan records the machine that planned; a step on another kind of machine warns.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.indexes.stages.pipeline import Pipeline


def numerics() -> dict[str, str]:
    """The BLAS of NumPy with its version, and the instruction set."""
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "simd": native.simd_level(),
    }


def warn_of_others(planned: Mapping[str, str], pipeline: Pipeline) -> None:
    """Warn where the key has steps that round, and this machine is of another kind than that of the plan."""
    here = numerics()
    differing = [name for name in here if planned.get(name) not in (None, here[name])]
    if differing and (pipeline.steps or pipeline.normalizes):
        name = differing[0]
        warnings.warn(
            f"this machine has {name} {here[name]}, the plan was made with {planned[name]}: last bits of "
            f"rows that {str(pipeline.spec)!r} rotates or normalises may differ, and with them some codes; "
            "use machines of one kind where the bits matter",
            stacklevel=3,
        )
