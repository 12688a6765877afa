"""The kinds of index as a caller sees them, behind one face, so that one test can hold all of them to one habit.

To add a kind: a class with the attributes of `Kind`, and a line for each key in `KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import cluscomp as cc

DIM = 8


@dataclass(frozen=True)
class Kind:
    """An index of single vectors. metric: of it. The same rows train and fill it."""

    key: str
    metric: str = "l2"

    def __str__(self) -> str:
        return f"{self.key} {self.metric}"

    def rows(self, n: int, seed: int = 0) -> Any:
        """Rows to add, in the plain form."""
        return np.random.default_rng((seed, 1)).normal(size=(n, DIM)).astype("f4")

    def some(self, rows: Any, numbers: Any) -> Any:
        """Some of the rows, as rows."""
        return rows[numbers]

    def with_value(self, rows: Any, row: int, value: float) -> Any:
        """The rows with one value in one row replaced."""
        changed = np.array(rows)
        changed[row, 3] = value
        return changed

    def of_dim(self, n: int, dim: int) -> Any:
        """Rows of another dim."""
        return np.ones((n, dim), "f4")

    def copy(self, rows: Any) -> Any:
        """The rows in memory of their own."""
        return np.array(rows)

    def spoil(self, rows: Any) -> None:
        """Overwrite the memory of the rows."""
        rows[:] = 7

    def same(self, one: Any, other: Any) -> bool:
        """Whether two rows hold the same values."""
        return np.array_equal(one, other)

    def forms(self, rows: Any) -> dict[str, Any]:
        """The rows in other forms that mean the same."""
        torch = __import__("torch")
        wide = np.zeros((len(rows), 2 * DIM), "f4")
        wide[:, ::2] = rows
        return {"float64": rows.astype("f8"), "list": rows.tolist(), "tensor": torch.from_numpy(rows).requires_grad_(),
                "Fortran": np.asfortranarray(rows), "every second column": wide[:, ::2], "read-only": _frozen(rows)}  # fmt: skip

    def empty(self) -> Any:
        """An index that has learnt nothing."""
        return cc.index_factory(self.key, DIM, self.metric, seed=3)

    def trained(self) -> Any:
        """An index without rows that can take some."""
        return self.empty().train(self.rows(400))

    def add(self, index: Any, rows: Any, ids: Any = None) -> Any:
        """Add rows under ids."""
        return index.add(rows, ids=ids)

    def upsert(self, index: Any, rows: Any, ids: Any) -> int:
        """Add or replace rows."""
        return index.upsert(rows, ids=ids)

    def filled(self, n: int = 60, ids: Any = None) -> Any:
        """An index with n rows."""
        return self.add(self.trained(), self.rows(n), ids)

    def search(self, index: Any, rows: Any, k: int, **options: Any) -> Any:
        """Every row looks for its nearest, in all lists."""
        return index.search(rows, k, **(_all_lists(self.key) | options))

    def one_query(self, rows: Any, row: int) -> Any:
        """One row as a single query."""
        return rows[row]


@dataclass(frozen=True)
class Documents(Kind):
    """An index of documents of several vectors; rows are lists of matrices, of unit vectors."""

    metric: str = "ip"

    def rows(self, n: int, seed: int = 0) -> Any:
        rng = np.random.default_rng((seed, 2))
        parts = [rng.normal(size=(int(rng.integers(1, 6)), DIM)) for _ in range(n)]
        return [(part / np.linalg.norm(part, axis=1, keepdims=True)).astype("f4") for part in parts]

    def some(self, rows: Any, numbers: Any) -> Any:
        return [rows[i] for i in np.arange(len(rows))[numbers]]

    def with_value(self, rows: Any, row: int, value: float) -> Any:
        changed = self.copy(rows)
        changed[row][0, 3] = value
        return changed

    def of_dim(self, n: int, dim: int) -> Any:
        return [np.ones((2, dim), "f4")] * n

    def copy(self, rows: Any) -> Any:
        return [np.array(part) for part in rows]

    def spoil(self, rows: Any) -> None:
        for part in rows:
            part[:] = 7

    def same(self, one: Any, other: Any) -> bool:
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    def forms(self, rows: Any) -> dict[str, Any]:
        torch = __import__("torch")
        return {"float64": [part.astype("f8") for part in rows], "nested lists": [part.tolist() for part in rows],
                "tensors": [torch.from_numpy(part).requires_grad_() for part in rows],
                "tuple": tuple(rows), "Fortran": [np.asfortranarray(part) for part in rows]}  # fmt: skip

    def filled(self, n: int = 60, ids: Any = None) -> Any:
        return self.add(self.trained(), self.rows(n), ids)


def _frozen(rows: np.ndarray) -> np.ndarray:
    rows = np.array(rows)
    rows.flags.writeable = False
    return rows


def _all_lists(key: str) -> dict[str, int]:
    return {"nprobe": 4} if "IVF4" in key else {}


KINDS: tuple[Kind, ...] = (
    Kind("Flat"),
    replace(Kind("Flat"), metric="ip"),
    Kind("SQ8", "cosine"),
    Kind("SQfp16"),
    Kind("PQ4x4"),
    Kind("IVF4,Flat"),
    Kind("BIVF4,SQ8", "ip"),
    Kind("OPQ4,IVF4,PQ4x4,RFlat"),
    Kind("RR,IVF4,RaBitQ4,RFlat"),
    Kind("PCA6,SQ4,Refine(SQ8)", "cosine"),
    Documents("Pool(f=1),Flat"),
    Documents("Pool2,SQ8"),
    Documents("Pool(f=2),IVF4,PQ4x4,RFlat"),
)
