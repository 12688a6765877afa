"""What every kind of index holds and knows of itself: key, trained stages, segments, encoder, settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import id_values
from cluscomp.arrays import require_finite
from cluscomp.attributes.schema import NO_COLUMNS
from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes.filters.answers import AnswerCache
from cluscomp.indexes.filters.cache import BitsCache
from cluscomp.indexes.filters.filterable import Filterable
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.id_lookup import live_ids, positions_of, require_found, require_kind
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.ivf import default_nprobe
from cluscomp.indexes.stages.list_training import ListTrainer, train_lists
from cluscomp.indexes.stages.pipeline import sample_rows, training_rows
from cluscomp.indexes.stages.training_facts import training_facts
from cluscomp.progress import Progress
from cluscomp.vocabulary import K_BEYOND

DEFAULT_REFINE_FACTOR = 4
Segment = TypeVar("Segment", bound=StoredSegment)


class IndexContents(Filterable, Generic[Segment]):
    """Base of `StoredIndex`: everything but changes of the rows, and folders."""

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        self.pipeline = kind_of(spec).stages(spec, dim, metric, seed)
        self.spec, self.key, self.dim, self.seed = spec, str(spec), dim, seed
        self.metric: str = self.pipeline.metric
        self.settings: dict[str, Any] = {}
        self._together: Together[Segment] = Together(())
        self._id_kind: str | None = None
        self._schema, self._bits, self._answers = NO_COLUMNS, BitsCache(), AnswerCache()
        self._next_id = 0
        self._training: dict[str, Any] = {}
        self._encoder: dict[str, Any] | None = None

    # ---- what it is ----

    def __len__(self) -> int:
        """Rows that can be found: added and not deleted."""
        return self._together.n_live

    @property
    def n_total(self) -> int:
        """Rows that can be found, as len(index)."""
        return len(self)

    @property
    def n_deleted(self) -> int:
        """Rows that are marked as deleted and still take room."""
        return self._together.n_rows - self._together.n_live

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
        return self.pipeline.codec.row_bytes

    @property
    def code_bytes_per_document(self) -> float:
        """Mean bytes of the codes of one row: of the vector, or of all vectors of a document."""
        return float(self.code_size)

    @property
    def id_kind(self) -> str | None:
        """Kind of the ids, "int64" or "str", decided by the first add; None before."""
        return self._id_kind

    @property
    def ids(self) -> np.ndarray:
        """All ids that can be found, in order of adding: int64 or object array of str."""
        return live_ids(self._segments)

    @property
    def next_id(self) -> int:
        """Number from which rows without ids are numbered on; above every integer id that ever was there."""
        return self._next_id

    @next_id.setter
    def next_id(self, value: int) -> None:
        self._next_id = checks.integer("next_id", value, 0)

    @property
    def encoder(self) -> dict[str, Any] | None:
        """Description of the model that made the vectors; kept in the manifest."""
        return self._encoder

    @encoder.setter
    def encoder(self, info: Any) -> None:
        self._encoder = checks.json_object("encoder", info)

    def check_encoder(self, info: Any) -> None:
        """Refuse vectors of another encoder than the one that made the index.

        Args:
            info: EncoderInfo or its JSON form. An index that knows no encoder (built from vectors) accepts
                every one.

        Raises:
            EncoderMismatchError: the encoder is another one; the message names both.
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
        self.settings["refine_factor"] = checks.integer("refine_factor", value, 1)

    # ---- train ----

    @property
    def training_limit(self) -> int:
        """Most vectors that training looks at: 256 a list, at least 65536."""
        return training_rows(self.spec)

    @property
    def training(self) -> dict[str, Any]:
        """JSON values about the rows that the index learned from: how many there were, what they cost, and
        how many fell into which lists; saved with the index. Empty before, and where an older version trained
        it.
        """
        return self._training

    def train_vectors(
        self,
        rows: np.ndarray,
        progress: Progress | None = None,
        n_rows: int | None = None,
        lists: ListTrainer | None = None,
    ) -> None:
        """Learn all stages from vectors, or from as many of them, drawn at random, as training looks at.

        Args:
            rows: (n, dim) of kernel dtype.
            n_rows: rows of the index that is trained, of which these are a sample. None: as many as vectors.
            progress: called as progress(stage, done, total).
            lists: trains the lists; None: this process does.

        Raises:
            NonFiniteError, TooFewRowsError: the vectors cannot be learned from.
        """
        sample = sample_rows(rows, self.training_limit, self.seed)
        require_finite(sample, largest=self.pipeline.largest_stored)
        self.pipeline.train(sample, progress, lists or train_lists)
        self.settings["training_rows"] = int(sample.shape[0])
        if self.pipeline.learns_from_rows:
            self._training = training_facts(self.pipeline, sample, len(rows) if n_rows is None else n_rows)

    def _require_empty(self) -> None:
        """Raise UsageError where there are rows, since training would come too late."""
        if self._segments:
            raise UsageError(
                f"the index holds {len(self)} rows, which another training would make meaningless; "
                "train a new index and add the rows to it"
            )

    def row_facts(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Say what `describe` adds for the rows of this kind.

        Args:
            sizes: bytes by part.

        Returns:
            JSON values.
        """
        return {}

    def search_defaults(self) -> dict[str, float]:
        """List the parameters of `search` that have an effect for this key.

        Returns:
            Parameter -> default.
        """
        defaults: dict[str, float] = {} if self.spec.partition is None else {"nprobe": self.nprobe}
        return defaults if self.spec.refine is None else {**defaults, "refine_factor": self.refine_factor}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.key!r}, dim={self.dim}, metric={self.metric!r}, rows={len(self)})"
        )

    # ---- inside ----

    @property
    def _segments(self) -> tuple[Segment, ...]:
        return self._together.segments

    @_segments.setter
    def _segments(self, segments: tuple[Segment, ...]) -> None:
        self._together = Together(segments, self._together)

    def _load_settings(self, settings: dict[str, Any], where: str) -> None:
        try:
            self.settings = dict(settings)
            self.nprobe, self.refine_factor = self.nprobe, self.refine_factor
        except (UsageError, ValueError, TypeError, OverflowError) as exc:
            raise CorruptIndexError(f"{where}: the settings of the index are inconsistent ({exc})") from exc
        self.settings = dict(settings)

    def _checked_k(self, k: int, n_live: int, beyond: str) -> int:
        """Hits of each query; 0 only from an empty index that may clip."""
        k = checks.integer("k", k, 1)
        if beyond != "fail" and checks.one_of("k_beyond", beyond, K_BEYOND) == "clip":
            return min(k, n_live)
        if k > n_live:
            raise UsageError(
                f"k={k} hits were requested, but the index holds {n_live} rows; ask for at most {n_live}, or "
                "pass k_beyond='clip'"
            )
        return k

    def _positions(self, segments: tuple[Segment, ...], ids: Any) -> np.ndarray:
        """Positions (len(ids),) over all segments of rows by id. Raises InputError, DuplicateIdError."""
        values = id_values(ids)
        if not len(values):
            return np.empty(0, dtype=np.int64)
        wanted = make_ids(values, len(values))
        require_kind(self._id_kind, wanted)
        positions = positions_of(segments, wanted)
        require_found(wanted, positions < 0, "take ids of `index.ids`")
        return positions

    def _checked_nprobe(self, nprobe: int, name: str = "nprobe") -> int:
        nprobe, partition = checks.integer(name, nprobe, 1), self.spec.partition
        if partition is not None and nprobe > partition.nlist:
            raise UsageError(
                f"{name}={nprobe}, but {self.key!r} has {self.spec.nlist} lists; valid are 1 to "
                f"{self.spec.nlist}"
            )
        return nprobe
