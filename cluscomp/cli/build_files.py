"""What `cluscomp build-index` reads: files of texts, vectors or terms, and the encoder that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.build_flags import WORDS_KEY
from cluscomp.vocabulary import EncoderKind

if TYPE_CHECKING:
    from cluscomp.indexes.keys.specs import IndexSpec

POOLED = "choose a key that begins with a pool, such as Pool16,IVF1024,PQ96"
REMEDIES = {
    "tokens": "pass --encoder-kind tokens (token outputs of a dense model) or multivector (ColBERT models)",
    "words": "leave --encoder out: BM25 counts words itself",
    "sparse": "pass --encoder-kind sparse with a model of sparse vectors",
}
"""What to do where a key needs an encoder of this kind and another is given."""
GIVES = {
    "dense": "one vector a text",
    "words": "words of a text",
    "sparse": "weighted terms of a text",
}


def complete_key(index_key: str | None, codec: Path | None, hybrid: bool) -> IndexSpec:
    """The key with the trained codec in it, and that of words behind it; checked before a model is loaded,
    which takes seconds.
    """
    from cluscomp.indexes.keys.grammar import parse_key, with_codec

    if codec is not None:
        index_key = with_codec(index_key, f"RepCONC({codec})") if index_key else f"RepCONC({codec})"
    if hybrid:
        index_key = f"{index_key}+{WORDS_KEY}"
    spec = parse_key(index_key or "")
    spec.resolved()
    return spec


@dataclass(frozen=True)
class BuildFiles:
    """Flags that say what is read."""

    corpus: Path | None
    embeddings: Path | None
    ids: Path | None
    lengths: Path | None
    terms: Path | None = None

    def source(self) -> Path:
        """Path of what is read, where it is one; a hub id is downloaded. Raises UsageError where texts or
        terms stand beside vectors.
        """
        from cluscomp.eval.hub import dataset_folder

        if self.embeddings is not None and (self.corpus, self.terms) != (None, None):
            raise errors.UsageError(
                "a build in shards reads one source, and --corpus or --terms stands beside --embeddings; "
                "leave --shards out"
            )
        return dataset_folder(self.corpus) if self.embeddings is None else self.embeddings  # type: ignore[arg-type]

    def paths(self) -> dict[str, Path | None]:
        """What belongs to it, as arguments of a build in shards."""
        return {"ids": self.ids, "lengths": self.lengths}

    def open(self, spec: IndexSpec, columns: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        """Source and further arguments of the build; files are checked before the model is loaded."""
        from cluscomp.indexes.kind import kind_of
        from cluscomp.inputs.corpus import corpus_file
        from cluscomp.inputs.embeddings import open_embeddings
        from cluscomp.inputs.ragged import open_ragged

        if self.embeddings is None:
            source = self.source()
            corpus_file(source)
            return source, {"columns": columns}
        kind = kind_of(spec)
        if kind.terms:
            return self.embeddings, {"columns": columns, "ids": self.ids}
        more: dict[str, Any] = {}
        if kind.both:
            more, columns = self._beside(columns)
        if kind_of(spec.dense).ragged:
            rows, lengths, ids = open_ragged(self.embeddings, self.lengths, self.ids, columns=columns)
            return rows, {"lengths": lengths, "ids": ids, **more}
        vectors = open_embeddings(self.embeddings, self.ids, columns=columns)
        if self.ids is None and getattr(vectors, "id_column", None):
            output.note(f"ids are those of column {vectors.id_column!r}")  # type: ignore[attr-defined]
        return vectors, more

    def _beside(self, columns: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Texts or terms that stand beside the vectors of a hybrid index, and the columns that are those of
        the vectors.
        """
        from cluscomp.eval.hub import dataset_folder
        from cluscomp.inputs.corpus import corpus_file

        own = {role: name for role, name in columns.items() if role == "vectors"}
        others = {role: name for role, name in columns.items() if role not in own}
        if self.terms is not None:
            return {"terms": self.terms, "columns": others}, own
        texts = dataset_folder(self.corpus)  # type: ignore[arg-type]
        corpus_file(texts)
        return {"texts": texts, "columns": others}, own


@dataclass(frozen=True)
class Maker:
    """Flags that name an encoder. words: that of the terms, where an index has both forms."""

    name: str | None
    kind: EncoderKind | None
    bf16: bool
    words: str | None = None

    def checked(self, spec: IndexSpec, files: BuildFiles) -> Maker:
        """With what the key implies. What does not go together is found before a model is loaded, which takes
        seconds: UsageError.
        """
        maker = self._of(spec, files)
        if files.embeddings is None or not _stores_both(spec):
            common.check_documents(files.corpus, files.embeddings, maker.name, self.bf16)
        check_beside(spec, files.corpus, files.embeddings, files.terms)
        if files.embeddings is None and files.lengths is not None:
            raise errors.UsageError("--lengths belongs to --embeddings; the texts of --corpus are encoded")
        if files.embeddings is None and files.ids is not None:
            raise errors.UsageError(
                "--ids belongs to --embeddings; the documents of --corpus have their own ids"
            )
        maker._check_kind(spec)
        if maker.words is not None and not _stores_both(spec):
            raise errors.UsageError(
                f"--word-encoder belongs to keys of two parts (--hybrid), but --index-key is {spec}; use "
                "--encoder"
            )
        _check_rows(spec, files)
        return maker

    def load(self) -> Any:
        """The encoder, or None without a name; of both forms, or of one, as they are named."""
        from cluscomp.encoders import load_encoder

        vectors: Any = None
        if self.name is not None:
            vectors = load_encoder(self.name, self.kind or "dense", bf16=self.bf16)
        if self.words is None:
            return vectors
        words = load_encoder(self.words, "words" if self.words.partition("(")[0] == "words" else "sparse")
        if vectors is None:
            return words
        from cluscomp.encoders.hybrid import HybridEncoder

        return HybridEncoder(vectors, words)

    def _of(self, spec: IndexSpec, files: BuildFiles) -> Maker:
        """The encoder that the key brings, and the kind that is usual for it."""
        from cluscomp.indexes.kind import kind_of

        name = self.name
        if name is None and files.corpus is not None:
            name = spec.codec.own_encoder
        kind = self.kind
        if kind is None and kind_of(spec).terms:
            kind = spec.encoder_kinds[0]
        return replace(self, name=name, kind=kind or "dense")

    def _check_kind(self, spec: IndexSpec) -> None:
        if self.name is None or self.kind in spec.encoder_kinds:
            return
        raise errors.UsageError(
            f"--encoder-kind {self.kind} gives {GIVES.get(str(self.kind), 'several vectors a text')}, which "
            f"--index-key {spec} does not store; {REMEDIES.get(spec.encoder_kinds[0], POOLED)}"
        )


def _stores_both(spec: IndexSpec) -> bool:
    from cluscomp.indexes.kind import kind_of

    return kind_of(spec).both


def check_beside(spec: IndexSpec, corpus: Path | None, embeddings: Path | None, terms: Path | None) -> None:
    """Raise UsageError unless the vectors of a hybrid index come with texts or terms, and no others do."""
    both = _stores_both(spec)
    if terms is not None and (not both or embeddings is None):
        why = (
            "of a hybrid index, which are not given" if both else f"of keys of two parts, and {spec} is none"
        )
        raise errors.UsageError(f"--terms stands beside --embeddings {why}")
    if embeddings is not None and both and (corpus is None) == (terms is None):
        what = "neither is" if corpus is None else "both are"
        raise errors.UsageError(
            f"the key {str(spec)!r} stores vectors and terms of each document; beside --embeddings one of "
            f"--corpus (texts) and --terms is needed, and {what} given"
        )


def _check_rows(spec: IndexSpec, files: BuildFiles) -> None:
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.term_matrix import is_term_matrix

    kind = kind_of(spec)
    if files.lengths is not None and not kind_of(spec.dense).ragged:
        raise errors.UsageError(
            "--lengths belongs to token vectors and keys that begin with a pool, such as Pool16,IVF1024,PQ96"
        )
    if files.ids is not None and kind.terms and not is_term_matrix(files.embeddings or ""):
        raise errors.UsageError("--ids: the ids of weighted terms stand in their .jsonl file; leave it out")
