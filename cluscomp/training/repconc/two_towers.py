"""A model whose queries have an encoder of their own."""

from __future__ import annotations

import copy
from typing import Any

QUERY_ROUTE = "query"


def with_query_tower(model: Any) -> Any:
    """`model` with a copy of its modules for queries, behind sentence-transformers' Router.

    A model that has routes for queries and documents already is returned as it is. Modules without
    parameters at the end (the normalisation) stay shared. The documents' modules are those of `model`.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    if query_parameters(model):
        return model
    modules = list(model.children())
    shared: list[Any] = []
    while len(modules) > 1 and not any(True for _ in modules[-1].parameters()):
        if type(modules[-1]).__name__ != "Normalize":
            break
        shared.insert(0, modules.pop())
    router = Router.for_query_document(
        query_modules=copy.deepcopy(modules), document_modules=modules, default_route="document"
    )
    return SentenceTransformer(
        modules=[router, *shared],
        device=str(model.device),
        prompts=model.prompts,
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
    )


def query_parameters(model: Any) -> dict[str, Any]:
    """Parameters by name that only queries pass; {} for a model without routes."""
    mark = f"sub_modules.{QUERY_ROUTE}."
    return {name: p for name, p in model.named_parameters() if mark in name}
