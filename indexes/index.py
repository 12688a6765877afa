"""The index: train, add, search, delete, save; and `open_index`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.arrays import require_finite
from cluscomp.errors import CorruptIndexError, IncompleteResultsWarning, SubsampleWarning, UsageError
from cluscomp.indexes.checks import as_matrix, json_object, positive, rows_of_dim
from cluscomp.indexes.folder import FolderWriter
from cluscomp.indexes.home import Home, write_extra
from cluscomp.indexes.id_lookup import find_all, largest_id, live_ids, new_ids, require_kind
from cluscomp.indexes.ids import INT, TEXT, make_ids
from cluscomp.indexes.key import IndexSpec
from cluscomp.indexes.manifest import Manifest
from cluscomp.indexes.opening import OpenedFolder, open_folder
from cluscomp.indexes.partitions import default_nprobe
from cluscomp.indexes.pipeline import Pipeline, StageProgress, sample_rows, training_rows
from cluscomp.indexes.saving import new_bytes, segment_entry, source_files, stored_arrays, write_stored
from cluscomp.indexes.search import search_segments, take_ids
from cluscomp.indexes.segment import Segment, encode_segment, list_sizes

DEFAULT_REFINE_FACTOR = 4


class Index:
    """A searchable, compressed collection of vectors under permanent ids.

    Made by `index_factory` or `open_index`. Any number of threads may search one index at the same time, also
    while one other thread adds or deletes: a search sees the rows that were there when it began.

    key: canonical key. spec: the parsed key. dim: of rows and queries. metric: "ip", "l2" or "cosine".
    encoder: description of the model that made the vectors (EncoderInfo as JSON), or None.
    """

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        self.pipeline = Pipeline(spec, dim, metric, seed)
        self.spec, self.key, self.dim, self.metric, self.seed = spec, str(spec), dim, metric, seed
        self.settings: dict[str, Any] = {}
        self._segments: tuple[Segment, ...] = ()
        self._id_kind: str | None = None
        self._next_id = 0
        self._encoder: dict[str, Any] | None = None
        self._home: Home | None = None

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
        return live_ids(self._segments)

    @property
    def encoder(self) -> dict[str, Any] | None:
        """Description of the model that made the vectors; kept in the manifest."""
        return self._encoder

    @encoder.setter
    def encoder(self, info: Any) -> None:
        self._encoder = json_object(info, "encoder")

    def check_encoder(self, info: Any) -> None:
        """Raise EncoderMismatchError, naming both, unless `info` describes the model that made the vectors.

        info: EncoderInfo or its JSON form. An index that knows no encoder (built from vectors) accepts every
        one.
        """
        if self._encoder is not None:
            from cluscomp.encoders.base import check_same_encoder

            check_same_encoder(self._encoder, info)

    @property
    def nprobe(self) -> int:
        """Lists that a search visits by default: 4 * ceil(sqrt(nlist)) until set; saved with the index."""
        return int(self.settings.get("nprobe", default_nprobe(self.spec.nlist)))

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self.settings["nprobe"] = self._checked_nprobe(value)

    @property
    def refine_factor(self) -> int:
        """Candidates per hit that the rerank scores unless told otherwise; 4 at first. Saved."""
        return int(self.settings.get("refine_factor", DEFAULT_REFINE_FACTOR))

    @refine_factor.setter
    def refine_factor(self, value: int) -> None:
        self.settings["refine_factor"] = positive("refine_factor", value)

    # ---- train, add, delete ----

    def train(self, x: Any, *, progress: StageProgress | None = None) -> Index:
        """Learn rotation, lists and codebooks from rows x (n, dim), NumPy, torch or memory map; no row is
        added.

        Of more rows than 256 a list and 65536, a random sample is used: SubsampleWarning says so, and
        settings["training_rows"] how many. progress(stage, done, total) is called on the way. Keys that learn
        nothing (Flat, SQfp16) may skip this.

        Raises DimensionError, NonFiniteError, TooFewRowsError, UsageError (the index holds rows already).
        """
        if self._segments:
            raise UsageError(
                f"the index holds {len(self)} rows, whose codes another training would make meaningless; "
                "train a new index and add the rows to it"
            )
        rows = rows_of_dim(x, self.dim, "rows", check_finite=False)
        sample = sample_rows(rows, training_rows(self.spec), self.seed)
        require_finite(sample)
        if self.pipeline.needs_training and sample.shape[0] < rows.shape[0]:
            warnings.warn(
                f"the index trains on {sample.shape[0]} of {rows.shape[0]} rows, drawn at random",
                SubsampleWarning,
                stacklevel=2,
            )
        self.pipeline.train(sample, progress)
        self.settings["training_rows"] = int(sample.shape[0])
        return self

    def add(self, x: Any, ids: Any = None) -> Index:
        """Add rows x (n, dim) under permanent ids: all of them, or none if an error is raised.

        ids: n integers (int64, not -1) or n texts, different from each other and from the ids in the index;
        the first add decides the kind. None numbers on from the largest integer id so far, starting at 0.

        Raises DimensionError (dim, count of ids), NonFiniteError (naming the id), DuplicateIdError,
        DTypeError, InputError (a value that the codec cannot hold), NotTrainedError.
        """
        self.pipeline.require_trained()
        rows = rows_of_dim(x, self.dim, "rows", check_finite=False)
        column = new_ids(self._segments, self._id_kind, self._next_id, ids, rows.shape[0])
        sizes = list_sizes(self._segments, self.spec.nlist)
        self._append(encode_segment(self.pipeline, rows, column, sizes))
        return self

    def delete(self, ids: Any) -> int:
        """Take rows out of all later searches; no other id changes. Their ids may be added again.

        ids: ids that are in the index. Returns how many rows were deleted. Raises InputError for an id that
        is not in the index (and deletes nothing), DuplicateIdError, DTypeError.
        """
        ids = [ids] if isinstance(ids, (str, int, np.integer)) else ids
        if len(ids) == 0:
            return 0
        wanted = make_ids(ids, len(ids))
        require_kind(self._id_kind, wanted)
        found = find_all(self._segments, wanted)
        self._segments = tuple(
            segment.with_deleted(rows) if rows.size else segment
            for segment, rows in zip(self._segments, found, strict=True)
        )
        return len(wanted)

    # ---- search ----

    def search(
        self, queries: Any, k: int, *, nprobe: int | None = None, refine_factor: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best rows for each query.

        queries: (nq, dim), or (dim,) for one. k: at most len(index). nprobe: lists to visit, 1 to nlist; more
        is slower and finds more (default: `index.nprobe`; no effect on keys without IVF). refine_factor: the
        rerank scores k * refine_factor candidates with the finer codes (default: `index.refine_factor`; no
        effect on keys without).

        Returns scores (nq, k) float32, best first, and ids (nq, k), int64 or object array of str. Scores are
        inner products (ip), cosines (cosine) or NEGATIVE squared distances (l2), so that more is always
        better; equal scores are ordered by time of adding. Where the visited lists hold fewer than k rows,
        the rest is -inf with id -1 (None for text ids) and an IncompleteResultsWarning says how many.

        Raises DimensionError, NonFiniteError, DTypeError, UsageError (k, nprobe, refine_factor).
        """
        segments = self._segments
        rows = rows_of_dim(as_matrix(queries), self.dim, "queries", check_finite=True)
        k = self._checked_k(k, segments)
        nprobe = self.nprobe if nprobe is None else self._checked_nprobe(nprobe)
        factor = self.refine_factor if refine_factor is None else positive("refine_factor", refine_factor)
        self.pipeline.require_trained()
        hits = search_segments(self.pipeline, segments, rows, k, nprobe=nprobe, refine_factor=factor)
        self._warn_if_incomplete(hits.positions, k, nprobe)
        return hits.scores, take_ids(segments, hits.positions, self._id_kind or INT)

    # ---- disk ----

    def save(self, path: str | os.PathLike[str], *, if_exists: str = "fail") -> None:
        """Write the index into the folder `path`, all or nothing.

        if_exists: "fail", or "replace", which replaces an index and nothing else. An index that was opened
        from `path` may be saved back there without asking, unless somebody changed the folder in between.
        Files that did not change since the index was opened are linked, not copied.

        Raises OutputExistsError, DiskFullError, NotTrainedError, IndexFolderError; the old folder is then
        untouched.
        """
        self.pipeline.require_trained()
        target = Path(path)
        is_home = self._home is not None and if_exists == "fail" and self._home.is_at(target)
        arrays = stored_arrays(self.pipeline, self._segments)
        policy = "replace" if is_home else if_exists
        with FolderWriter(target, if_exists=policy, needed_bytes=new_bytes(arrays)) as writer:
            for stored in arrays:
                write_stored(writer, stored)
            extra = write_extra(writer, self._home, share=is_home)
            manifest = self.manifest(writer.entries, extra)
            writer.publish(manifest)
        if self._home is not None and self._home.folder == target.absolute():
            self._home = Home(target, manifest, source_files(target, extra))

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
    def home(self) -> Home | None:
        """The folder that the index was opened from."""
        return self._home

    @property
    def extra_files(self) -> tuple[str, ...]:
        """Names of files that were stored with the index, such as docs.sqlite."""
        return () if self._home is None else tuple(self._home.extra_files)

    def extra_file(self, name: str) -> Path:
        """Path of a file that was stored with the index, such as docs.sqlite; UsageError if there is none."""
        if self._home is None:
            raise UsageError(f"the index has no file {name!r}: it was not opened from a folder")
        return self._home.extra_file(name)

    def describe(self) -> dict[str, Any]:
        """Key, settings, counts, bytes by part and balance of the lists, as JSON values (describe.py)."""
        from cluscomp.indexes.describe import describe

        return describe(self)

    def nbytes(self) -> dict[str, int]:
        """Bytes of the saved folder by part: codes, ids, ...; "total" is their sum (describe.py)."""
        from cluscomp.indexes.describe import folder_bytes

        return folder_bytes(self)

    def to_faiss(self, *, text_ids: str = "fail") -> Any:
        """The same index in faiss, with the same ids and scores and nothing trained again (faiss_bridge.py).

        faiss returns POSITIVE squared distances for l2. faiss knows integer ids only: for text ids this
        raises UsageError unless text_ids="rows", which gives row i of `index.ids` the id i. nprobe and
        refine_factor are set to this index's defaults. Raises OptionalDependencyError without faiss.
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
        index._home = Home(opened.path, manifest, opened.extra_files)
        index._segments = opened.segments
        index._id_kind, index._next_id, index._encoder = manifest.id_kind, manifest.next_id, manifest.encoder
        index._load_settings(manifest.settings, str(opened.path))
        return index

    def _load_settings(self, settings: dict[str, Any], where: str) -> None:
        try:
            self.settings = dict(settings)
            self.nprobe, self.refine_factor = self.nprobe, self.refine_factor
        except (UsageError, ValueError, TypeError, OverflowError) as exc:
            raise CorruptIndexError(f"{where}: the settings of the index make no sense ({exc})") from exc
        self.settings = dict(settings)

    def _append(self, segment: Segment) -> None:
        self._id_kind = segment.ids.kind
        self._next_id = max(self._next_id, largest_id(segment.ids) + 1)
        self._segments = (*self._segments, segment)

    def _checked_k(self, k: int, segments: tuple[Segment, ...]) -> int:
        k = positive("k", k)
        n_live = sum(segment.n_rows - segment.n_deleted for segment in segments)
        if k > n_live:
            raise UsageError(
                f"k={k} hits were asked for, but the index holds {n_live} rows; ask for at most {n_live}"
            )
        return k

    def _checked_nprobe(self, nprobe: int) -> int:
        nprobe = positive("nprobe", nprobe)
        if self.spec.partition is not None and nprobe > self.spec.nlist:
            raise UsageError(
                f"nprobe={nprobe}, but {self.key!r} has {self.spec.nlist} lists; valid are 1 to "
                f"{self.spec.nlist}"
            )
        return nprobe

    def _warn_if_incomplete(self, positions: np.ndarray, k: int, nprobe: int) -> None:
        found = (positions >= 0).sum(axis=1)
        short = found[found < k]
        if short.size:
            warnings.warn(
                f"{short.size} of {len(found)} queries found fewer than k={k} rows (fewest: {short.min()}), "
                f"because nprobe={nprobe} of {self.spec.nlist} lists hold no more; missing hits have id "
                f"{'None' if self._id_kind == TEXT else -1} and score -inf. "
                "Raise nprobe, or ask for a smaller k",
                IncompleteResultsWarning,
                stacklevel=3,
            )


def open_index(path: str | os.PathLike[str], *, verify: bool = False) -> Index:
    """Open an index folder. Arrays stay on disk, mapped into memory: opening costs about what is touched
    later.

    verify: also read every file and compare its checksum.
    Raises IndexMissingError (no index there), ForeignFileError (another tool's file, or a git-LFS pointer),
    NewerFormatError, CorruptIndexError (truncated, altered or inconsistent).
    """
    return Index.from_folder(open_folder(Path(path), verify=verify))
