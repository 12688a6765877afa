"""The index: train, add, search, delete, save; and `open_index`."""

from __future__ import annotations

import json
import operator
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.arrays import as_rows
from cluscomp.errors import (
    CorruptIndexError,
    DimensionError,
    DTypeError,
    DuplicateIdError,
    IncompleteResultsWarning,
    InputError,
    OutputExistsError,
    UsageError,
)
from cluscomp.indexes.folder import FolderWriter
from cluscomp.indexes.ids import INT, MAX_ID, TEXT, IdColumn, IntIds, RangeIds, make_ids
from cluscomp.indexes.key import IndexSpec
from cluscomp.indexes.manifest import MANIFEST_NAME, Manifest
from cluscomp.indexes.opening import OpenedFolder, open_folder
from cluscomp.indexes.partitions import default_nprobe
from cluscomp.indexes.pipeline import Pipeline, StageProgress, training_rows
from cluscomp.indexes.saving import SourceFile, file_identity, new_bytes, segment_entry, stored_arrays, write_stored
from cluscomp.indexes.search import search_segments, take_ids
from cluscomp.indexes.segment import Segment, encode_segment

DEFAULT_REFINE_FACTOR = 4


class Index:
    """A searchable, compressed collection of vectors under permanent ids.

    Made by `index_factory` or `open_index`. Any number of threads may search one index at the same time, also while
    one other thread adds or deletes: a search sees the rows that were there when it began.

    key: canonical key. spec: the parsed key. dim: of rows and queries. metric: "ip", "l2" or "cosine".
    encoder: description of the model that made the vectors (EncoderInfo as JSON), or None.
    """

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        self.pipeline = Pipeline(spec, dim, metric, seed)
        self.spec, self.key, self.dim, self.metric, self.seed = spec, str(spec), dim, metric, seed
        self.settings: dict[str, Any] = {}
        self.folder: Path | None = None
        self._segments: tuple[Segment, ...] = ()
        self._id_kind: str | None = None
        self._next_id = 0
        self._encoder: dict[str, Any] | None = None
        self._extra_files: dict[str, SourceFile] = {}
        self._opened: Manifest | None = None
        self._opened_manifest: tuple[int, int, int, int] | None = None

    # ---- what it is ----

    def __len__(self) -> int:
        """Rows that can be found: added and not deleted."""
        return sum(segment.n_rows - segment.n_deleted for segment in self._segments)

    @property
    def n_total(self) -> int:
        """Rows that can be found, as len(index)."""
        return len(self)

    @property
    def n_deleted(self) -> int:
        """Rows that are marked as deleted and still take room."""
        return sum(segment.n_deleted for segment in self._segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The stored rows, one segment for each `add`."""
        return self._segments

    @property
    def is_trained(self) -> bool:
        """Whether rows can be added."""
        return self.pipeline.is_trained

    @property
    def code_size(self) -> int:
        """Bytes of the code of one row, without the finer code of the rerank, position and id."""
        return self.pipeline.codec.code_width * np.dtype(self.pipeline.codec.code_dtype).itemsize

    @property
    def id_kind(self) -> str | None:
        """ "int64" or "str", decided by the first add; None before."""
        return self._id_kind

    @property
    def ids(self) -> np.ndarray:
        """All ids that can be found, in order of adding: int64 or object array of str."""
        if not self._segments:
            return np.empty(0, dtype=np.int64)
        return np.concatenate([segment.ids.take(live_rows(segment)) for segment in self._segments])

    @property
    def encoder(self) -> dict[str, Any] | None:
        """Description of the model that made the vectors; kept in the manifest."""
        return self._encoder

    @encoder.setter
    def encoder(self, info: Any) -> None:
        self._encoder = _as_json_object(info, "encoder")

    def check_encoder(self, info: Any) -> None:
        """Raise EncoderMismatchError, naming both, unless `info` describes the model that made the vectors.

        info: EncoderInfo or its JSON form. An index that knows no encoder (built from vectors) accepts every one.
        """
        if self._encoder is not None:
            from cluscomp.encoders.base import check_same_encoder

            check_same_encoder(self._encoder, info)

    @property
    def nprobe(self) -> int:
        """Lists that a search visits unless told otherwise; 2 * ceil(sqrt(nlist)) at first. Saved with the index."""
        return int(self.settings.get("nprobe", default_nprobe(self.spec.nlist)))

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self.settings["nprobe"] = self._checked_nprobe(value)

    @property
    def refine_factor(self) -> int:
        """Candidates per hit that the rerank scores unless told otherwise; 4 at first. Saved with the index."""
        return int(self.settings.get("refine_factor", DEFAULT_REFINE_FACTOR))

    @refine_factor.setter
    def refine_factor(self, value: int) -> None:
        self.settings["refine_factor"] = _positive("refine_factor", value)

    # ---- train, add, delete ----

    def train(self, x: Any, *, progress: StageProgress | None = None) -> Index:
        """Learn rotation, lists and codebooks from rows x (n, dim), NumPy, torch or memory map; no row is added.

        Of more rows than 256 a list and 65536, a random sample is used (settings["training_rows"] says how many).
        progress(stage, done, total) is called on the way. Keys that learn nothing (Flat, SQfp16) may skip this.

        Raises DimensionError, NonFiniteError, TooFewRowsError, UsageError (the index holds rows already).
        """
        if self._segments:
            raise UsageError(
                f"the index holds {len(self)} rows, whose codes another training would make meaningless; "
                "train a new index and add the rows to it"
            )
        rows = self._as_rows(x, "x", check_finite=False)
        sample = _sample(rows, training_rows(self.spec), self.seed)
        self.pipeline.train(as_rows(sample), progress)
        self.settings["training_rows"] = int(sample.shape[0])
        return self

    def add(self, x: Any, ids: Any = None) -> Index:
        """Add rows x (n, dim) under permanent ids: all of them, or none if an error is raised.

        ids: n integers (int64, not -1) or n texts, different from each other and from the ids in the index; the first add
        decides the kind. None numbers on from the largest integer id so far, starting at 0.

        Raises DimensionError (dim, count of ids), NonFiniteError (naming the id), DuplicateIdError, DTypeError,
        InputError (a value that the codec cannot hold), NotTrainedError.
        """
        self.pipeline.require_trained()
        rows = self._as_rows(x, "x", check_finite=False)
        column = self.new_ids(ids, rows.shape[0])
        self._append(encode_segment(self.pipeline, rows, column))
        return self

    def delete(self, ids: Any) -> int:
        """Take rows out of all later searches; no other id changes. Their ids may be added again.

        ids: ids that are in the index. Returns how many rows were deleted.
        Raises InputError for an id that is not in the index (and deletes nothing), DuplicateIdError, DTypeError.
        """
        ids = [ids] if isinstance(ids, (str, int, np.integer)) else ids
        wanted = make_ids(ids, len(ids)) if len(ids) else None
        if wanted is None:
            return 0
        self._check_kind(wanted)
        found = [_live_matches(segment, wanted) for segment in self._segments]
        unknown = np.flatnonzero(np.all([rows < 0 for rows in found], axis=0)) if found else np.arange(1)
        if unknown.size:
            name = wanted.take(unknown[:1]).tolist()[0]
            raise InputError(
                f"id {name!r} is not in the index ({unknown.size} of {len(wanted)} ids are not); nothing was deleted"
            )
        self._segments = tuple(
            segment.with_deleted(rows[rows >= 0]) if (rows >= 0).any() else segment
            for segment, rows in zip(self._segments, found, strict=True)
        )
        return len(wanted)

    def new_ids(self, ids: Any, n: int, *, first_id: int | None = None) -> IdColumn:
        """Ids for n new rows, checked against the index; first_id replaces the next free number."""
        if ids is None:
            return self._numbered(n, self._next_id if first_id is None else first_id)
        column = make_ids(ids, n)
        self._check_kind(column)
        for segment in self._segments:
            taken = np.flatnonzero(_live_matches(segment, column) >= 0)
            if taken.size:
                name = column.take(taken[:1]).tolist()[0]
                raise DuplicateIdError(
                    f"id {name!r} is in the index already ({taken.size} of {n} ids are); nothing was added. "
                    "Delete it first to replace its row"
                )
        return column

    # ---- search ----

    def search(
        self, queries: Any, k: int, *, nprobe: int | None = None, refine_factor: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best rows for each query.

        queries: (nq, dim), or (dim,) for one. k: at most len(index). nprobe: lists to visit, 1 to nlist; more is slower
        and finds more (default: `index.nprobe`; no effect on keys without IVF). refine_factor: the rerank scores
        k * refine_factor candidates with the finer codes (default: `index.refine_factor`; no effect on keys without).

        Returns scores (nq, k) float32, best first, and ids (nq, k), int64 or object array of str. Scores are inner
        products (ip), cosines (cosine) or NEGATIVE squared distances (l2), so that more is always better; equal scores
        are ordered by time of adding. Where the visited lists hold fewer than k rows, the rest is -inf with id -1 (None
        for text ids) and an IncompleteResultsWarning says how many.

        Raises DimensionError, NonFiniteError, DTypeError, UsageError (k, nprobe, refine_factor).
        """
        segments = self._segments
        rows = self._as_rows(_as_matrix(queries), "queries", check_finite=True)
        k = self._checked_k(k, segments)
        nprobe = self.nprobe if nprobe is None else self._checked_nprobe(nprobe)
        factor = self.refine_factor if refine_factor is None else _positive("refine_factor", refine_factor)
        self.pipeline.require_trained()
        hits = search_segments(self.pipeline, segments, rows, k, nprobe=nprobe, refine_factor=factor)
        self._warn_if_incomplete(hits.positions, k, nprobe)
        return hits.scores, take_ids(segments, hits.positions, self._id_kind or INT)

    # ---- disk ----

    def save(self, path: str | os.PathLike[str], *, if_exists: str = "fail") -> None:
        """Write the index into the folder `path`, all or nothing.

        if_exists: "fail", or "replace", which replaces an index and nothing else. An index that was opened from `path`
        may be saved back there without asking, unless somebody changed the folder in between. Files that did not change
        since the index was opened are linked, not copied.

        Raises OutputExistsError, DiskFullError, NotTrainedError, IndexFolderError; the old folder is then untouched.
        """
        self.pipeline.require_trained()
        target = Path(path)
        if if_exists == "fail" and self._is_own_folder(target):
            if_exists = "replace"
        arrays = stored_arrays(self.pipeline, self._segments)
        with FolderWriter(target, if_exists=if_exists, needed_bytes=new_bytes(arrays)) as writer:
            for stored in arrays:
                write_stored(writer, stored)
            extra = {name: writer.copy(name, self.extra_file(name)) for name in self._extra_files}
            writer.publish(self.manifest(writer.entries, extra))
        if self._opened_manifest is not None and self.folder == target.absolute():
            self._opened_manifest = file_identity(target / MANIFEST_NAME)

    def manifest(self, files: Mapping[str, Any], extra_files: Mapping[str, Any]) -> Manifest:
        """What manifest.json says about this index when it consists of these files."""
        from cluscomp import __version__

        return Manifest(
            created_by=f"cluscomp {__version__}",
            key=self.key,
            dim=self.dim,
            metric=self.metric,
            seed=self.seed,
            id_kind=self._id_kind,
            next_id=self._next_id,
            encoder=self._encoder,
            settings=dict(self.settings),
            segments=tuple(segment_entry(s.n_rows, s.ids, s.n_deleted) for s in self._segments),
            files=dict(files),
            extra_files=dict(extra_files),
        )

    @property
    def is_as_opened(self) -> bool:
        """Whether the index was opened from a folder and nothing has changed since."""
        opened = self._opened
        if opened is None:
            return False
        now = self.manifest(opened.files, opened.extra_files)
        return replace(now, created_by=opened.created_by) == opened

    @property
    def extra_files(self) -> tuple[str, ...]:
        """Names of files that were stored with the index, such as docs.sqlite."""
        return tuple(self._extra_files)

    def extra_file(self, name: str) -> Path:
        """Path of a file that was stored with the index, such as docs.sqlite; UsageError if there is none."""
        if name not in self._extra_files:
            raise UsageError(f"the index has no file {name!r}; it has: {', '.join(self._extra_files) or 'none'}")
        source = self._extra_files[name]
        if not source.is_unchanged():
            raise CorruptIndexError(f"{source.path} was removed or changed since the index was opened; open it again")
        return source.path

    def describe(self) -> dict[str, Any]:
        """Key, settings, counts, bytes by part and balance of the lists, as JSON values (describe.py)."""
        from cluscomp.indexes.describe import describe

        return describe(self)

    def nbytes(self) -> dict[str, int]:
        """Bytes of the saved folder by part: codes, ids, positions, ...; "total" is their sum (describe.py)."""
        from cluscomp.indexes.describe import folder_bytes

        return folder_bytes(self)

    def to_faiss(self, *, text_ids: str = "fail") -> Any:
        """The same index in faiss, with the same ids and scores and nothing trained again (faiss_bridge.py).

        faiss returns POSITIVE squared distances for l2. faiss knows integer ids only: for text ids this raises UsageError
        unless text_ids="rows", which gives row i of `index.ids` the id i. nprobe and refine_factor are set to this
        index's defaults. Raises OptionalDependencyError without faiss.
        """
        from cluscomp.indexes.faiss_bridge import to_faiss

        return to_faiss(self, text_ids=text_ids)

    def __repr__(self) -> str:
        return f"Index({self.key!r}, dim={self.dim}, metric={self.metric!r}, rows={len(self)})"

    # ---- inside ----

    @classmethod
    def from_folder(cls, opened: OpenedFolder) -> Index:
        """The index that `opening.open_folder` found."""
        manifest = opened.manifest
        index = cls(opened.pipeline.spec, manifest.dim, manifest.metric, seed=manifest.seed)
        index.pipeline = opened.pipeline
        index.folder = opened.path.absolute()
        index._segments = opened.segments
        index._id_kind, index._next_id = manifest.id_kind, manifest.next_id
        index._encoder, index._extra_files = manifest.encoder, opened.extra_files
        index._opened = manifest
        index._opened_manifest = file_identity(opened.path / MANIFEST_NAME)
        index._load_settings(manifest.settings)
        return index

    def _load_settings(self, settings: dict[str, Any]) -> None:
        try:
            self.settings = dict(settings)
            self.nprobe, self.refine_factor = self.nprobe, self.refine_factor
        except (UsageError, ValueError, TypeError, OverflowError) as exc:
            raise CorruptIndexError(f"{self.folder}: the settings of the index make no sense ({exc})") from exc
        self.settings = dict(settings)

    def _append(self, segment: Segment) -> None:
        self._id_kind = segment.ids.kind
        self._next_id = max(self._next_id, largest_id(segment.ids) + 1)
        self._segments = (*self._segments, segment)

    def _numbered(self, n: int, first_id: int) -> IdColumn:
        if self._id_kind == TEXT:
            raise DTypeError("the index has text ids, so rows cannot be numbered; pass ids=[...] with one text a row")
        if first_id + n - 1 > MAX_ID:
            raise InputError(f"{n} ids from {first_id} on do not fit int64; pass ids")
        return RangeIds(first_id, n)

    def _check_kind(self, column: IdColumn) -> None:
        if self._id_kind not in (None, column.kind):
            raise DTypeError(f"the index has {self._id_kind} ids, but these are {column.kind}; pass ids of one kind")

    def _as_rows(self, x: Any, name: str, *, check_finite: bool) -> np.ndarray:
        rows = as_rows(x, name=name, check_finite=False)
        if rows.shape[1] != self.dim:
            what = "queries" if name == "queries" else "rows"
            raise DimensionError(
                f"index has dim {self.dim}, {what} have dim {rows.shape[1]}; "
                "use vectors of the model that the index was built with, or build an index for this dim"
            )
        return as_rows(rows, name=name) if check_finite else rows

    def _checked_k(self, k: int, segments: tuple[Segment, ...]) -> int:
        k = _positive("k", k)
        n_live = sum(segment.n_rows - segment.n_deleted for segment in segments)
        if k > n_live:
            raise UsageError(f"k={k} hits were asked for, but the index holds {n_live} rows; ask for at most {n_live}")
        return k

    def _checked_nprobe(self, nprobe: int) -> int:
        nprobe = _positive("nprobe", nprobe)
        if self.spec.partition is not None and nprobe > self.spec.nlist:
            raise UsageError(f"nprobe={nprobe}, but {self.key!r} has {self.spec.nlist} lists; valid are 1 to {self.spec.nlist}")
        return nprobe

    def _warn_if_incomplete(self, positions: np.ndarray, k: int, nprobe: int) -> None:
        found = (positions >= 0).sum(axis=1)
        short = found[found < k]
        if short.size:
            warnings.warn(
                f"{short.size} of {len(found)} queries found fewer than k={k} rows (fewest: {short.min()}), because nprobe="
                f"{nprobe} of {self.spec.nlist} lists hold no more; missing hits have id "
                f"{'None' if self._id_kind == TEXT else -1} and score -inf. Raise nprobe or ask for a smaller k",
                IncompleteResultsWarning,
                stacklevel=3,
            )

    def _is_own_folder(self, target: Path) -> bool:
        """Whether this index was opened from `target` and still is what lies there."""
        if self._opened_manifest is None or self.folder != target.absolute():
            return False
        try:
            unchanged = file_identity(target / MANIFEST_NAME) == self._opened_manifest
        except OSError:
            return False
        if not unchanged:
            raise OutputExistsError(
                f"{target} was changed by somebody else since this index was opened from it; open it again, or save with "
                "if_exists='replace' to overwrite that change"
            )
        return True


def open_index(path: str | os.PathLike[str], *, verify: bool = False) -> Index:
    """Open an index folder. Arrays stay on disk, mapped into memory: opening costs about what is touched later.

    verify: also read every file and compare its checksum.
    Raises IndexMissingError (no index there), ForeignFileError (another tool's file, or a git-LFS pointer),
    NewerFormatError, CorruptIndexError (truncated, altered or inconsistent).
    """
    return Index.from_folder(open_folder(Path(path), verify=verify))


def live_rows(segment: Segment) -> np.ndarray:
    """Positions of the rows of a segment that are not deleted, ascending."""
    if segment.deleted is None:
        return np.arange(segment.n_rows, dtype=np.int64)
    return np.flatnonzero(segment.deleted == 0)


def largest_id(ids: IdColumn) -> int:
    """Largest integer id of a column; -1 for text ids and for negative ids, so that numbering starts at 0."""
    if isinstance(ids, RangeIds):
        return max(-1, ids.start + ids.n - 1)
    return max(-1, int(ids.values.max())) if isinstance(ids, IntIds) else -1


def _live_matches(segment: Segment, wanted: IdColumn) -> np.ndarray:
    """Position in the segment of each wanted id, -1 where it is not there or deleted."""
    rows = segment.ids.find(wanted)
    if segment.deleted is not None:
        rows = np.where((rows >= 0) & (segment.deleted[np.maximum(rows, 0)] == 0), rows, -1)
    return rows


def _sample(rows: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """At most `limit` rows, drawn at random, in their order."""
    n = rows.shape[0]
    if n <= limit:
        return rows
    picked = np.random.default_rng(seed).choice(n, size=limit, replace=False, shuffle=False)
    return np.asarray(rows[np.sort(picked)])


def _as_matrix(queries: Any) -> Any:
    """A single query (dim,) as a matrix of one row."""
    if getattr(queries, "ndim", None) == 1:
        return queries[None, :]
    is_flat_list = isinstance(queries, (list, tuple)) and bool(queries) and isinstance(queries[0], (int, float, np.number))
    return [queries] if is_flat_list else queries


def _positive(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError as exc:
        raise UsageError(f"{name} must be an integer, but is {value!r}") from exc
    if isinstance(value, bool) or number < 1:
        raise UsageError(f"{name} must be an integer of at least 1, but is {value!r}")
    return number


def _as_json_object(info: Any, name: str) -> dict[str, Any] | None:
    """A dict of JSON values, from a dict or an object with to_json()."""
    value = info.to_json() if hasattr(info, "to_json") else info
    if value is None:
        return None
    try:
        copied = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise UsageError(f"{name} must be a dict of JSON values: {exc}") from exc
    if not isinstance(copied, dict):
        raise UsageError(f"{name} must be a dict of JSON values or None, but is {type(value).__name__}")
    return copied
