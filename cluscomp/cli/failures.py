"""From exceptions to exit codes.

0 ok, 1 internal, 2 usage, 3 infeasible, 4 bad data, 5 index, 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from cluscomp import errors
from cluscomp.cli.output import note
from cluscomp.cli.paths import expanded, protect_inputs
from cluscomp.cli.streams import BROKEN_PIPE, discard

INTERRUPTED = 130
INFEASIBLE = errors.InfeasibleError.exit_code

# What the file system may refuse, and what helps.
_REMEDIES = {
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "name a place on a file system that can be written to",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOENT: "make its folder, or name another place",
    errno.ENOTDIR: "a part of the path is a file; name another place",
    errno.EISDIR: "a file is needed here",
    errno.ELOOP: "links lead in a circle; name what they should lead to",
    errno.ENXIO: "name a file",
    errno.EIO: "the device does not answer; copy the file again, or to another device",
    errno.ESTALE: "the network file system has lost it; run the command again",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ETXTBSY: "a program is being run from it; name another place",
}

Function = TypeVar("Function", bound=Callable[..., Any])


def exits_by_contract(function: Function) -> Function:
    """Wrap a command so that every outcome leaves with its exit code and one clean line on stderr."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        verbose = bool(kwargs.get("verbose"))
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                kwargs = {name: expanded(value) for name, value in kwargs.items()}
                protect_inputs(kwargs)
                return function(*args, **kwargs)
            except (typer.Exit, typer.Abort):
                raise
            except KeyboardInterrupt:
                note(f"interrupted{_resume_hint(kwargs)}")
                raise typer.Exit(INTERRUPTED) from None
            except BrokenPipeError:
                discard(sys.stdout)
                raise typer.Exit(BROKEN_PIPE) from None
            except Exception as exc:
                raise typer.Exit(_report(exc, verbose, function, kwargs.get("index"))) from exc

    return wrapper  # type: ignore[return-value]


def _report(exc: Exception, verbose: bool, command: Function, index: Any) -> int:
    """Say on stderr what went wrong and return the exit code."""
    if verbose:
        traceback.print_exception(type(exc), exc, exc.__traceback__, file=sys.stderr)
    if isinstance(exc, errors.CluscompError):
        note(f"error: {with_flags(str(exc), command)}")
        return exc.exit_code
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        note(f"error: the disk is full ({exc}); free some room or write elsewhere. Nothing was published")
        return errors.DiskFullError.exit_code
    if isinstance(exc, OSError) and exc.errno in _REMEDIES and exc.filename is not None:
        note(f"error: {os.fsdecode(exc.filename)}: {exc.strerror}; {_REMEDIES[exc.errno]}")
        is_index = index is not None and _lies_in(os.fsdecode(exc.filename), index)
        return (errors.IndexFolderError if is_index else errors.InputError).exit_code
    if isinstance(exc, MemoryError):
        note(
            f"error: out of memory ({exc}); set --max-memory below the free memory, --dry-run shows the plan"
        )
        return INFEASIBLE
    hint = "" if verbose else "; run again with -v for the traceback"
    note(f"error: internal: {type(exc).__name__}: {exc}{hint}")
    return 1


def _lies_in(path: str, folder: Any) -> bool:
    inner, outer = os.path.abspath(path), os.path.abspath(folder)
    return inner == outer or inner.startswith(outer + os.sep)


def with_flags(message: str, command: Callable[..., Any]) -> str:
    """A message that names arguments of Python, with those that are flags of the command as flags.

    "if_exists='replace'" becomes "--if-exists replace", and "max_memory" becomes "--max-memory". Words that
    may also be plain English, such as "seed", are only replaced where a value or "=" follows. "tenant=None"
    is what the flag --all-tenants means.
    """
    hints = get_type_hints(command, include_extras=True).values()
    options = [info for hint in hints for info in get_args(hint)[1:] if isinstance(info, OptionInfo)]
    for option in options:
        for name in (option.default, *(option.param_decls or ())):  # typer takes the first name for a default
            if str(name).startswith("--"):
                message = _flag_for_argument(message, str(name).partition("/")[0])
    return message


def _flag_for_argument(message: str, flag: str) -> str:
    name = flag[2:].replace("-", "_")
    message = re.sub(rf"(?<![\w.-]){name}='([^']*)'", rf"{flag} \1", message)
    message = re.sub(rf"(?<![\w.-]){name}=True\b", flag, message)
    message = re.sub(rf"(?<![\w.-]){name}=(?=[\s,;)]|$)", flag, message)
    if name.startswith("all_"):
        message = re.sub(rf"(?<![\w.-]){name[4:].removesuffix('s')}=None\b", flag, message)
    if "_" in name:
        message = re.sub(rf"(?<![\w./'\"-]){name}(?![\w./'\"=(-])", flag, message)
    return message


def _resume_hint(kwargs: dict[str, Any]) -> str:
    if "if_exists" not in kwargs:
        return ""
    return "; the finished stages are kept: the same command with --if-exists resume goes on from them"


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        return  # addressed to developers of the libraries below, not to who runs a command
    note(f"warning: {message}")
