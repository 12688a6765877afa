"""CRISP's pooling as a step of a MultiVectorEncoder of sentence-transformers: in its trainer, in saved
models.

`ClusterPooling` derives from a class of sentence-transformers, so it is made when it is first asked for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from cluscomp.errors import require
from cluscomp.training.crisp.pooling import PoolingRule, pool_padded

if TYPE_CHECKING:
    from torch import Tensor

    ClusterPooling: Any


def __getattr__(name: str) -> Any:
    if name == "ClusterPooling":
        return _make_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _make_class() -> Any:
    modules = require(
        "sentence_transformers.multi_vector_encoder.modules", extra="train", why="pooling inside a model"
    )

    class ClusterPooling(modules.BaseTokenPooling):  # type: ignore[name-defined, misc]
        """Means of groups of token vectors; put it last in a MultiVectorEncoder, behind Normalize.

        documents, queries: "8" vectors, a share as "25%", or "none", for texts of each task. method,
        renormalize, protected and seed as in `pool_tokens`. Groups are found on detached vectors, gradients
        reach the vectors through the means, in training and at inference alike.
        """

        config_keys: ClassVar = ["documents", "queries", "method", "renormalize", "protected", "seed"]

        def __init__(
            self,
            documents: str = "8",
            *,
            queries: str = "none",
            method: str = "ward",
            renormalize: bool = True,
            protected: int = 0,
            seed: int = 0,
        ) -> None:
            options = {"method": method, "renormalize": renormalize, "protected": protected, "seed": seed}
            self.rules = {
                "document": PoolingRule.parse(str(documents), **options),
                "query": PoolingRule.parse(str(queries), **options),
            }
            super().__init__(tasks=[task for task, rule in self.rules.items() if rule.pools])
            self.documents, self.queries, self.method = str(documents), str(queries), method
            self.renormalize, self.protected, self.seed = renormalize, protected, seed

        def forward(self, features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
            rule = self.rules.get(task or "document")
            if rule is not None and rule.pools:
                vectors, mask = features["token_embeddings"], features["attention_mask"].bool()
                features["token_embeddings"], features["attention_mask"] = pool_padded(vectors, mask, rule)
            return features

        def pool_one(self, embedding: Tensor, **_: Any) -> Tensor:
            import torch

            mask = torch.ones(1, embedding.shape[0], dtype=torch.bool, device=embedding.device)
            return pool_padded(embedding.unsqueeze(0), mask, self.rules["document"])[0][0]

    ClusterPooling.__qualname__ = "ClusterPooling"
    return ClusterPooling
