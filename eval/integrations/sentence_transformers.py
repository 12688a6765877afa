"""sentence-transformers' InformationRetrievalEvaluator on a compressed index.

    from cluscomp.eval.integrations.sentence_transformers import IndexRetrievalEvaluator

    evaluator = IndexRetrievalEvaluator(queries, corpus, relevant_docs, index_key="OPQ48,IVF64,PQ48")
    evaluator(model)  # the metrics of InformationRetrievalEvaluator, of the hits of the index

The class exists once it is asked for, since it derives from one of sentence-transformers.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluscomp.arrays import as_rows
from cluscomp.errors import InputError, UsageError, require
from cluscomp.eval.integrations.embeddings import on_cpu
from cluscomp.eval.integrations.mteb import metric_of, single_vectors
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import Index, open_index


def __getattr__(name: str) -> Any:
    if name == "IndexRetrievalEvaluator":
        return _evaluator_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _evaluator_class() -> type:
    module = require(
        "sentence_transformers.sentence_transformer.evaluation", extra="encode", why="IndexRetrievalEvaluator"
    )

    class IndexRetrievalEvaluator(module.InformationRetrievalEvaluator):  # type: ignore[misc, name-defined]
        """InformationRetrievalEvaluator whose hits come from an index of this project.

        index_key: of an index that is trained on and filled with the corpus, as the model encodes it; or
        index: one that was built before with the ids of the corpus (Index or folder), whose documents are
        then not encoded again. search_kwargs: of `Index.search`. seed: of training. All other arguments are
        InformationRetrievalEvaluator's; of its score functions only the model's own is used.

        index: the index of the last call.
        Raises UsageError (neither or both of index_key and index; a similarity without index), InputError
        (the index lacks documents of the corpus).
        """

        def __init__(
            self,
            *args: Any,
            index_key: str | None = None,
            index: Index | str | os.PathLike[str] | None = None,
            search_kwargs: Mapping[str, Any] | None = None,
            seed: int = 0,
            **kwargs: Any,
        ) -> None:
            super().__init__(*args, **kwargs)
            if (index_key is None) == (index is None):
                raise UsageError(
                    "give index_key, to build an index of the corpus, or index, one that is built"
                )
            if self.score_functions:
                raise UsageError("score_functions cannot be searched by an index; leave them out")
            self.index_key, self.seed = index_key, seed
            self.search_kwargs = dict(search_kwargs or {})
            self.index: Any = None if index is None else _opened(index, self.corpus_ids)

        def compute_all_metrics(
            self,
            model: Any,
            corpus_model: Any = None,
            corpus_embeddings: Any = None,
            output_path: str | None = None,
        ) -> dict[str, Any]:
            """Metrics of the index's hits, by the name of the model's similarity."""
            (name,) = self.score_functions
            if self.index_key is not None:
                self.index = self._built(corpus_model or model, corpus_embeddings, metric_of(name))
            queries = self.embed_inputs(
                model,
                self.queries,
                encode_fn_name="query",
                prompt_name=self.query_prompt_name,
                prompt=self.query_prompt,
            )
            hits = self._search(as_rows(on_cpu(queries), name="queries"))
            if self.write_predictions and output_path is not None:
                self._write_predictions(hits, Path(output_path), name)
            scores = {name: self.compute_metrics(hits)}
            self.output_scores(scores[name])
            return scores

        def _built(self, model: Any, embeddings: Any, metric: str) -> Index:
            if embeddings is None:
                embeddings = self.embed_inputs(
                    model,
                    self.corpus,
                    encode_fn_name="document",
                    prompt_name=self.corpus_prompt_name,
                    prompt=self.corpus_prompt,
                )
            rows = as_rows(on_cpu(embeddings), name="corpus")
            index = single_vectors(index_factory(str(self.index_key), rows.shape[1], metric, seed=self.seed))
            index.train(rows)
            return index.add(rows, ids=[str(name) for name in self.corpus_ids])

        def _search(self, queries: Any) -> list[list[dict[str, Any]]]:
            depth = max(
                *self.mrr_at_k, *self.ndcg_at_k, *self.accuracy_at_k, *self.precision_recall_at_k,
                *self.map_at_k,
            )  # fmt: skip
            scores, ids = self.index.search(queries, min(depth, len(self.index)), **self.search_kwargs)
            return [
                [
                    {"corpus_id": name, "score": score}
                    for name, score in zip(row_ids, row_scores, strict=True)
                    if name is not None
                ]
                for row_ids, row_scores in zip(ids.tolist(), scores.tolist(), strict=True)
            ]

        def _write_predictions(self, hits: list[list[dict[str, Any]]], folder: Path, name: str) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            lines = (
                {"query_id": query_id, "query": query, "results": found}
                for query_id, query, found in zip(self.queries_ids, self.queries, hits, strict=True)
            )
            path = folder / self.predictions_file.replace(".jsonl", f"_{name}.jsonl")
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    return IndexRetrievalEvaluator


def _opened(index: Index | str | os.PathLike[str], corpus_ids: list[str]) -> Index:
    opened = index if isinstance(index, Index) else single_vectors(open_index(index))
    missing = {str(name) for name in corpus_ids} - {str(name) for name in opened.ids}
    if missing:
        raise InputError(
            f"the index lacks {len(missing)} of {len(corpus_ids)} documents of the corpus, such as "
            f"{min(missing)!r}; build it from the same corpus"
        )
    return opened
