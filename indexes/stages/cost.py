"""What a stage costs in memory and arithmetic; transforms, partitions and codecs say it beside their `train`.

The plan of a build adds these up (pipeline_cost.py, build/costs.py) and knows no stage by name.
"""

from __future__ import annotations

from dataclasses import dataclass

ROWS_PER_CENTROID = 32
"""Training rows for each centroid below which centroids are not worth their name."""


@dataclass(frozen=True)
class Work:
    """Multiply-adds by the kernel that does them, since kernels differ in speed.

    assign: rows against centroids of all dimensions. codebook: parts of rows against the centroids of a
    product quantizer. matmul: products of rows with matrices.
    """

    assign: float = 0.0
    codebook: float = 0.0
    matmul: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.assign + other.assign, self.codebook + other.codebook, self.matmul + other.matmul)

    def __mul__(self, rows: float) -> Work:
        return Work(self.assign * rows, self.codebook * rows, self.matmul * rows)


@dataclass(frozen=True)
class Shape:
    """What the cost of a stage depends on besides its own settings.

    rows: float32 rows that `train` is given. for_scores: the codec keeps inner products rather than rows
    (quantization/score_aware.py). joint: the rotation before the codec trains its codebooks, too.
    """

    rows: int = 0
    for_scores: bool = False
    joint: bool = False


@dataclass(frozen=True)
class Cost:
    """Cost of one stage. Bytes are held at once, above the rows that the stage is given.

    train_bytes, train: memory and work of `train` with the rows of the shape. least_rows: training rows below
    which the result is poor. add_bytes: memory while a block of rows is encoded, whatever its size;
    add_row_bytes, add: memory and work for each row of the block, its results included, codes excluded.
    codewords: (dim, number) of the centroids that `Work.codebook` compares with, None without such work.
    """

    train_bytes: int = 0
    train: Work = Work()
    least_rows: int = 0
    add_bytes: int = 0
    add_row_bytes: int = 0
    add: Work = Work()
    codewords: tuple[int, int] | None = None
