"""Which class does the work of a key part, and how the part is written.

    register(SQ8, ScalarCodec, Form("codec", "SQ8", "SQ8", SQ8, "SQ8"))

makes a part known to keys, plans, builds, search and folders. registrations.py has those of this package.
"""

from __future__ import annotations

from typing import Any

from cluscomp.errors import UsageError
from cluscomp.indexes.keys.forms import Form, add_form
from cluscomp.indexes.keys.specs import CodecSpec, OnDisk, PartitionSpec, TransformSpec
from cluscomp.indexes.stages.codec import Codec, Refiner
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.stage import Stage
from cluscomp.indexes.stages.transform import Transform

_CLASSES: dict[type, type[Any]] = {}


def register(spec: type, stage: type[Stage], *forms: Form) -> None:
    """Make a part of keys known. spec: class of the part. stage: class that is made of it; for a transform,
    partition and codec, see `make_transform` and so on. forms: how the part is written.

    A codec that scores candidates again (`Refiner`) may also stand in Refine(...) and BiDR(...).
    Raises UsageError where a form is taken.
    """
    _CLASSES[spec] = stage
    for form in forms:
        add_form(form)
        if form.stage == "codec" and form.rerank and issubclass(stage, Refiner):
            for rerank in _rerank_forms(form):
                add_form(rerank)


def _rerank_forms(form: Form) -> list[Form]:
    """How candidates are scored again with a codec: from memory, and from disk."""
    return [
        Form("refine", rf"Refine\({form.pattern}\)", f"Refine({form.example})", form.build,
             f"Refine({form.shown})", form.texts),
        Form("refine", rf"BiDR\({form.pattern}\)", f"BiDR({form.example})",
             lambda *groups: OnDisk(form.build(*groups)), f"BiDR({form.shown})", form.texts),  # type: ignore[arg-type]
    ]  # fmt: skip


def make_transform(spec: TransformSpec, dim: int, codec: CodecSpec) -> Transform:
    """The untrained step that a key part stands for. codec: of the key, which a rotation may be for."""
    step: Transform = _CLASSES[type(spec)](spec, dim, codec)
    return step


def make_partition(spec: PartitionSpec | None, dim: int, metric: str) -> Ivf | None:
    """The untrained partition that a key part stands for, or None for one list. metric: "l2" or "ip"."""
    return None if spec is None else _CLASSES[type(spec)](spec, dim, metric)


def make_codec(spec: CodecSpec, dim: int) -> Codec:
    """The untrained codec that a key part stands for."""
    codec: Codec = _CLASSES[type(spec)](spec, dim)
    return codec


def make_refiner(spec: CodecSpec, dim: int) -> Refiner:
    """The untrained codec of a rerank; UsageError where the codec cannot score candidates again."""
    codec = make_codec(spec, dim)
    if not isinstance(codec, Refiner):
        raise UsageError(f"{spec} cannot score candidates again; write RFlat, Refine(SQfp16) or Refine(SQ8)")
    return codec
