"""A prefix tree over identifiers: which number may come next, for decoding that keeps to known paths."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluscomp import checks
from cluscomp.errors import InputError, MalformedFileError, MissingInputError
from cluscomp.files import atomic_file

_LARGEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class PrefixTree:
    """All beginnings of some paths, level by level, the empty one first.

    Args:
        tokens: (nodes,) int32, the last number of each beginning; -1 of the empty one.
        first_child: (nodes + 1,) int64; the children of node i are first_child[i] to first_child[i + 1], by
            ascending token.
        rows: (nodes,) int64, the number of the path that ends at the node, or -1.
    """

    tokens: np.ndarray
    first_child: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[Sequence[int]]) -> PrefixTree:
        """The tree of paths, none of which is another or its beginning.

        Args:
            paths: Sequences of numbers in 0 to 2^31 - 1; row i of the tree is path i.

        Returns:
            The tree.

        Raises:
            InputError: A number lies outside, a path is empty, or a path begins another (both are named).
        """
        lengths = np.fromiter(map(len, paths), np.int64, len(paths))
        table = np.full((len(paths), int(lengths.max(initial=0))), -1, dtype=np.int32)
        for row, path in enumerate(paths):
            if any(not 0 <= token <= _LARGEST for token in path):
                raise InputError(f"path {row} is {tuple(path)}; numbers lie in 0 to {_LARGEST}")
            table[row, : len(path)] = path
        order = np.lexsort(table.T[::-1]) if table.size else np.arange(len(paths))
        table, lengths = table[order], lengths[order]
        _require_apart(table, lengths, order)
        tokens, rows, children = [np.array([-1], dtype=np.int32)], [np.array([-1])], []
        begins, fresh = np.zeros(1, dtype=np.int64), np.zeros(len(paths), dtype=bool)
        for level in range(table.shape[1]):
            fresh[:1] = True
            fresh[1:] |= table[1:, level] != table[:-1, level]
            starts = np.flatnonzero(fresh & (table[:, level] >= 0))
            children.append(np.bincount(np.searchsorted(begins, starts, "right") - 1, minlength=len(begins)))
            tokens.append(table[starts, level])
            rows.append(np.where(lengths[starts] == level + 1, order[starts], -1))
            begins = starts
        children.append(np.zeros(len(begins), dtype=np.int64))
        return cls(
            np.concatenate(tokens),
            np.concatenate([[1], 1 + np.cumsum(np.concatenate(children))]),
            np.concatenate(rows),
        )

    def following(self, prefix: Sequence[int]) -> np.ndarray:
        """Numbers that may come after a beginning; none after a whole path.

        Args:
            prefix: First numbers of a path; may be empty.

        Returns:
            (m,) int32, ascending.

        Raises:
            InputError: No path begins so.
        """
        node = self._node(prefix)
        return self.tokens[self.first_child[node] : self.first_child[node + 1]]

    def row(self, path: Sequence[int]) -> int:
        """Number of a path.

        Args:
            path: All numbers of the path.

        Returns:
            Its number among those given to `of`.

        Raises:
            InputError: The path is not there, or goes on.
        """
        row = int(self.rows[self._node(path)])
        if row < 0:
            raise InputError(f"{tuple(path)} is only the beginning of paths; following() says how they go on")
        return row

    def save(self, path: str | Path) -> None:
        """Write the arrays, whole or not at all.

        Args:
            path: The .npz file to write or replace.
        """
        with atomic_file(path) as file:
            np.savez_compressed(file, tokens=self.tokens, first_child=self.first_child, rows=self.rows)

    @classmethod
    def load(cls, path: str | Path) -> PrefixTree:
        """Read what `save` wrote.

        Args:
            path: The .npz file.

        Returns:
            The tree.

        Raises:
            MissingInputError: There is no such file.
            MalformedFileError: The file is no prefix tree.
        """
        path = checks.path("path", path)
        try:
            with np.load(path, allow_pickle=False) as file:
                found = cls(file["tokens"], file["first_child"], file["rows"])
        except FileNotFoundError as exc:
            raise MissingInputError(f"{path} is not there") from exc
        except (KeyError, ValueError, OSError, zipfile.BadZipFile, TypeError) as exc:
            raise MalformedFileError(f"{path} is no prefix tree: {exc}") from exc
        if not found._is_whole():
            raise MalformedFileError(f"{path} is no prefix tree: its arrays do not fit each other")
        return found

    def _is_whole(self) -> bool:
        n, first = self.tokens.size, self.first_child
        shaped = self.tokens.shape == self.rows.shape == (n,) and first.shape == (n + 1,) and n > 0
        numbers = all(array.dtype.kind == "i" for array in (self.tokens, first, self.rows))
        return bool(
            shaped and numbers and first[0] == 1 and first[-1] == n
            and (np.diff(first) >= 0).all() and (first[:-1] > np.arange(n)).all()
        )  # fmt: skip

    def _node(self, prefix: Sequence[int]) -> int:
        node = 0
        for depth, token in enumerate(prefix):
            first, last = self.first_child[node : node + 2]
            at = first + int(np.searchsorted(self.tokens[first:last], token))
            if at == last or self.tokens[at] != token:
                raise InputError(f"no path begins with {tuple(prefix[: depth + 1])}")
            node = int(at)
        return node


def _require_apart(table: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> None:
    """Raise InputError where a path (rows of table, sorted) begins the next one, or has no number."""
    if table.size == 0 and len(lengths):
        raise InputError("paths are empty; each needs a number")
    shared = (table[:-1] == table[1:]) | (np.arange(table.shape[1]) >= lengths[:-1, None])
    inside = np.flatnonzero(shared.all(axis=1))
    if inside.size:
        first, second = order[inside[0]], order[inside[0] + 1]
        raise InputError(f"path {first} is path {second}, or its beginning; paths must end apart")
