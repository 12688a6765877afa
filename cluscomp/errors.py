"""The exception tree.

Every error that a user can cause derives from `CluscompError` and from the builtin a caller would expect.
A message names the fault, both numbers, and what to do. `exit_code` is what the command line returns.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = [
    "CluscompError",
    "ConvergenceWarning",
    "ConversionWarning",
    "CorruptIndexError",
    "DTypeError",
    "DimensionError",
    "DiskFullError",
    "DuplicateIdError",
    "EmptyInputError",
    "EncoderMismatchError",
    "ForeignFileError",
    "IncompleteInputWarning",
    "IncompleteResultsWarning",
    "IndexChangedError",
    "IndexFolderError",
    "IndexLockedError",
    "IndexMissingError",
    "InfeasibleError",
    "InputError",
    "KeyAdviceWarning",
    "MalformedFileError",
    "MissingInputError",
    "NewerFormatError",
    "NonFiniteError",
    "NotTrainedError",
    "OptionalDependencyError",
    "OutputExistsError",
    "RequestRefusedError",
    "SaturatedValuesWarning",
    "ShardUnavailableError",
    "SubsampleWarning",
    "TooFewRowsError",
    "TooLargeError",
    "UnknownKeyError",
    "UnsafeStoreError",
    "UsageError",
]


class CluscompError(Exception):
    """Root of all errors raised on purpose by this package."""

    exit_code = 1


# ---- usage: the call itself is wrong (exit code 2) ------------------------------------------------


class UsageError(CluscompError, ValueError):
    """A parameter has a value that cannot work."""

    exit_code = 2


class UnknownKeyError(UsageError):
    """An index key, metric or codec name that does not exist; the message gives the nearest known one."""


class OptionalDependencyError(CluscompError, ImportError):
    """A feature needs a package that is not installed; the message names the extra to install."""

    exit_code = 2


class OutputExistsError(CluscompError, FileExistsError):
    """The output path is taken and replacing it was not asked for."""

    exit_code = 2


class IndexChangedError(OutputExistsError):
    """Another writer changed the index folder since this index was opened from it or saved to it."""


class NotTrainedError(CluscompError, RuntimeError):
    """`add`, `encode` or `search` was called before `train`."""

    exit_code = 2


# ---- limits: the job cannot be done with what is allowed (exit code 3) -----------------------------


class InfeasibleError(CluscompError, MemoryError):
    """The job does not fit the stated memory limit."""

    exit_code = 3


class DiskFullError(CluscompError, OSError):
    """The output device has not enough room; nothing was published."""

    exit_code = 3


# ---- data: the input is wrong (exit code 4) --------------------------------------------------------


class InputError(CluscompError, ValueError):
    """Input data that cannot be used."""

    exit_code = 4


class DimensionError(InputError):
    """Two arrays that must agree in a length do not; both numbers are in the message."""


class NonFiniteError(InputError):
    """A row holds NaN or infinity; the message names the row or its id."""


class TooLargeError(InputError, OverflowError):
    """A value whose products leave float32; the message names it and the largest that is safe."""


class DuplicateIdError(InputError):
    """An id occurs twice."""


class EmptyInputError(InputError):
    """There is nothing to work on: no rows, no documents, or a document without text."""


class MalformedFileError(InputError):
    """A file does not follow its format; the message gives file and line or byte."""


class TooFewRowsError(InputError):
    """Fewer rows than the clustering or codec needs; both numbers are in the message."""


class DTypeError(InputError, TypeError):
    """An array has an element type that cannot be used."""


class MissingInputError(InputError, FileNotFoundError):
    """An input file, folder or model does not exist."""


# ---- index folders (exit code 5) -------------------------------------------------------------------


class IndexFolderError(CluscompError, OSError):
    """An index folder cannot be used."""

    exit_code = 5


class IndexMissingError(IndexFolderError, FileNotFoundError):
    """There is no index at the path."""


class IndexLockedError(IndexFolderError):
    """Another writer is at work in the index folder."""


class UnsafeStoreError(IndexFolderError):
    """An object store does not keep the conditions of a put, so that two writers would undo each other."""


class CorruptIndexError(IndexFolderError):
    """A file of the index is truncated, altered or inconsistent with the manifest."""


class NewerFormatError(IndexFolderError):
    """The index was written in a format newer than this version can read."""


class ForeignFileError(IndexFolderError):
    """The path holds another tool's file, or a git-LFS pointer instead of data."""


class EncoderMismatchError(CluscompError, ValueError):
    """Queries come from another encoder than the documents of the index."""

    exit_code = 5


# ---- servers (exit code 1) -------------------------------------------------------------------------


class RequestRefusedError(CluscompError):
    """A server does not answer a request. `status` is the number of HTTP, `code` one word for programs."""

    def __init__(self, message: str, status: int, code: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


# ---- shards (exit code 1) --------------------------------------------------------------------------


class ShardUnavailableError(CluscompError, RuntimeError):
    """A shard of a build or of a search has no process that answers; the message names it."""


# ---- warnings --------------------------------------------------------------------------------------


class ConvergenceWarning(UserWarning):
    """An iteration ended before its tolerance was met, or left clusters without rows."""


class ConversionWarning(UserWarning):
    """An index could not be converted to its final key, and stays as it is."""


class IncompleteInputWarning(UserWarning):
    """Something that other input names is not there, and counts as nothing."""


class IncompleteResultsWarning(UserWarning):
    """A search returned fewer hits than asked for; missing ones are id -1/None with score -inf."""


class KeyAdviceWarning(UserWarning):
    """Another key would serve these rows better; the message names it."""


class SaturatedValuesWarning(UserWarning):
    """Values above the largest that the codes of an index hold were stored as that one."""


class SubsampleWarning(UserWarning):
    """Training used only a part of the rows."""


def require(module: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    module: import name, such as "faiss". extra: the extra of this package that installs it.
    why: the feature that needs it, as it reads in "... is needed for {why}".
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise OptionalDependencyError(
            f"the package '{module}' is needed for {why} and cannot be imported ({exc}); "
            f"install it with: pip install 'cluscomp[{extra}]'",
            name=module,
        ) from exc
