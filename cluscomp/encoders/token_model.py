"""Any sentence-transformers model as a MultiVectorEncoder, for training and for pooling experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cluscomp.encoders.load import _check_device, _library, _load_model, _source
from cluscomp.errors import OptionalDependencyError


def load_token_model(name: str, *, device: str | None = None) -> Any:
    """A MultiVectorEncoder with vectors of length 1: `name` itself, or the token outputs of a dense model.

    name, device and errors as in `load_encoder`; the settings of the dense model (prompts, tokens read) stay.
    """
    library = _library()
    if not hasattr(library, "MultiVectorEncoder"):
        raise OptionalDependencyError(
            f"sentence-transformers {library.__version__} has no MultiVectorEncoder; "
            "upgrade it with: pip install -U 'cluscomp[encode]'"
        )
    if _is_multi_vector(name):
        return _load_model(library.MultiVectorEncoder, name, _check_device(device))
    dense = _load_model(library.SentenceTransformer, name, _check_device(device))
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    steps = [dense[0], MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    return library.MultiVectorEncoder(modules=steps, device=str(dense.device), prompts=dense.prompts)


def _is_multi_vector(name: str) -> bool:
    """Whether the model says so of itself; one that cannot be found is left to the loader's errors."""
    path = Path(_source(name)) / "config_sentence_transformers.json"
    if not path.parent.is_dir():
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(name, path.name))  # nosec B615
        except (OSError, ValueError):
            return False
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return False
    return kind in ("MultiVectorEncoder", "ColBERT")
