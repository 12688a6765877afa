"""Loading the encoder that a plan describes, in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp.errors import EncoderMismatchError


def load_recorded(info: Mapping[str, Any]) -> Any:
    """The encoder with this description (`EncoderInfo.to_json`).

    Raises EncoderMismatchError where the model of that name is another one here, or where the encoder was
    made with settings that its description does not name.
    """
    from cluscomp.encoders import load_encoder
    from cluscomp.encoders.hybrid import HybridEncoder

    if info["kind"] == "hybrid":
        return HybridEncoder(load_recorded(info["vectors"]), load_recorded(info["words"]))
    encoder: Any = load_encoder(info["name"], info["kind"], bf16=info.get("bf16", False))
    found = encoder.info.to_json()
    if found["fingerprint"] != info["fingerprint"]:
        raise EncoderMismatchError(
            f"the encoder {info['name']!r} has the fingerprint {found['fingerprint']} here, but the plan was "
            f"made with {info['fingerprint']}; use the same model on all machines, and no settings beside "
            "its name, kind and bf16"
        )
    return encoder
