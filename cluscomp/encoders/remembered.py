"""The encoder that an index remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp.encoders.hybrid import HYBRID, HybridEncoder
from cluscomp.errors import UsageError


def remembered_encoder(info: Mapping[str, Any] | None, name: str | None, remedy: str) -> Any:
    """Load the encoder that an index remembers.

    info: what the index says of it, or None. name: of the encoder that the caller means, or None. remedy:
    what else can be done where the index knows no encoder.

    Raises UsageError (none is known), EncoderMismatchError (`name`, or what is installed, is another one),
    and what `load_encoder` raises.
    """
    if info is None:
        raise UsageError(
            "the index was built from vectors and knows no encoder, so that texts cannot be encoded for it; "
            f"{remedy}, or build it with --corpus and --encoder"
        )
    if info.get("kind") == HYBRID:
        if not encodes_texts(info):
            known, unknown = ("terms", "vectors") if info["vectors"] is None else ("vectors", "terms")
            raise UsageError(
                f"the index knows what makes its {known} of a text, but its {unknown} came ready, so that "
                f"texts alone cannot be encoded for it; {remedy}"
            )
        vectors = _loaded(info["vectors"], name)
        return HybridEncoder(vectors, _loaded(info["words"], None))
    return _loaded(info, name)


def encodes_texts(info: Mapping[str, Any] | None) -> bool:
    """Whether an index that remembers this knows all that is needed to encode texts for it."""
    if info is None:
        return False
    return info.get("kind") != HYBRID or (info["vectors"] is not None and info["words"] is not None)


def remembered_words(info: Mapping[str, Any] | None, remedy: str) -> Any:
    """Load the encoder that makes the terms of a hybrid index. Raises UsageError where the index knows none,
    as its terms came ready, and what `remembered_encoder` raises.
    """
    words = None if info is None else info.get("words")
    if words is None:
        raise UsageError(
            f"the terms of the index came ready, so that nothing says how texts become such terms; {remedy}"
        )
    return _loaded(words, None)


def _loaded(info: Mapping[str, Any], name: str | None) -> Any:
    from cluscomp.encoders import check_same_encoder, load_encoder

    if name is not None:
        model = load_encoder(name, info["kind"], bf16=info.get("bf16", False))
    else:
        model = load_encoder(
            info["name"],
            info["kind"],
            max_seq_length=info.get("max_seq_length"),
            query_prompt=info.get("query_prompt"),
            document_prompt=info.get("document_prompt"),
            bf16=info.get("bf16", False),
        )
    check_same_encoder(info, model.info)
    return model
