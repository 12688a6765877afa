"""What a hybrid index learns: the stages of its vectors, and the codec of its terms."""

from __future__ import annotations

from cluscomp.indexes.keys.hybrid import WORDS, HybridSpec
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.sparse.named_terms import NamedTerms
from cluscomp.indexes.sparse.pipeline import TermPipeline
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.stage import Stage


class HybridPipeline(Pipeline):
    """The pipeline of the vectors, which also knows what is learned of the terms. words: their pipeline."""

    spec: HybridSpec

    def __init__(self, spec: HybridSpec, dim: int, metric: str, seed: int) -> None:
        super().__init__(spec, dim, metric, seed)
        self.words = TermPipeline(spec.terms, 1, "ip", seed)
        self.dense_segment: type[StoredSegment] = kind_of(spec.dense).segment
        self.words_segment: type[NamedTerms] = kind_of(spec.terms).segment  # type: ignore[assignment]

    def stages(self) -> dict[str, Stage]:
        return {**super().stages(), WORDS: self.words.codec}

    @property
    def learns_from_rows(self) -> bool:
        """Of vectors; what is learned of terms needs no sample of these."""
        return any(stage.needs_training for stage in super().stages().values() if stage is not self.support)

    @property
    def needs_training(self) -> bool:
        return super().needs_training or self.words.needs_training


def hybrid_pipeline(spec: IndexSpec, dim: int, metric: str, seed: int) -> HybridPipeline:
    """What is trained of a hybrid index."""
    assert isinstance(spec, HybridSpec)
    return HybridPipeline(spec, dim, metric, seed)
