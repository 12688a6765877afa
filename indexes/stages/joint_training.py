"""Training a rotation and the codebooks behind it together.

An OPQ rotation serves the product quantizer of the same key, so where both have the same m they are trained
in one go on what the quantizer will encode: the residuals to the lists' centroids, if there are lists. The
lists come first then, in unrotated space, and their centroids are rotated afterwards, which changes no
distance and no inner product. On 5183 MiniLM vectors (OPQ48,IVF64,PQ48) the squared error is .076 against
.082 for a rotation trained on the rows themselves.
"""

from __future__ import annotations

import numpy as np

from cluscomp.indexes.stages.codec import Codec
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.transform import Transform
from cluscomp.progress import Progress


def is_joint(steps: list[Transform], partition: Ivf | None, codec: Codec) -> bool:
    """Whether the last transform is a rotation that can be trained with the codec.

    A rotation that also drops dimensions is trained before the partition, which then works in the smaller
    space.
    """
    if not steps or not steps[-1].trains_with(codec):
        return False
    return partition is None or steps[-1].dim_in == steps[-1].dim_out


def train_jointly(
    step: Transform, partition: Ivf | None, codec: Codec, rows: np.ndarray, seed: int,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Train `step` and `codec` on unrotated residuals (n, dim_in); rotate the partition's centroids."""
    step.train_with(codec, rows, seed, progress)
    if partition is not None:
        partition.load(partition.parameters() | {"centroids": step.apply(partition.centroids)})
