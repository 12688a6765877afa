"""`cluscomp serve`: indexes over HTTP, with a page."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import INTERRUPTED, exits_by_contract

PANEL_LIMITS, PANEL_ACCESS = "Limits", "Access"


@exits_by_contract
def serve(
    indexes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=]INDEX ...", help="Folders of indexes.", show_default=False),
    ] = None,
    host: Annotated[str, flag("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, flag("--port", help="0 takes a free one.", min=0, max=65535)] = 8765,
    root: Annotated[
        Path | None, flag("--root", help="A folder of more indexes, opened when they are asked for.")
    ] = None,
    max_open: Annotated[
        int, flag("--max-open", help="Indexes of --root that are open at a time.", min=1, panel=PANEL_LIMITS)
    ] = 256,
    encoder: Annotated[
        bool, flag("--encoder/--no-encoder", help="Encode texts.", env="CLUSCOMP_ENCODE")
    ] = True,
    max_k: Annotated[int, flag("--max-k", help="Most hits of a query.", min=1, panel=PANEL_LIMITS)] = 1000,
    max_queries: Annotated[
        int, flag("--max-queries", help="Most queries of a request.", min=1, panel=PANEL_LIMITS)
    ] = 256,
    max_body: Annotated[
        str, flag("--max-body", help="Largest body of a request.", panel=PANEL_LIMITS, metavar="SIZE")
    ] = "8M",
    queue: Annotated[
        int, flag("--queue", help="Searches that wait; more are refused.", min=1, panel=PANEL_LIMITS)
    ] = 256,
    timeout: Annotated[
        str, flag("--timeout", help="Longest time of a request.", panel=PANEL_LIMITS, metavar="TIME")
    ] = "10s",
    batch_wait: Annotated[
        str,
        flag("--batch-wait", help="How long a search waits for company.", panel=PANEL_LIMITS, metavar="TIME"),
    ] = "0ms",
    batch_max: Annotated[
        int, flag("--batch-max", help="Most queries of one search.", min=1, panel=PANEL_LIMITS)
    ] = 256,
    refresh: Annotated[
        str,
        flag(
            "--refresh", help="Time between looks for newer states of the indexes; 0 never.", metavar="TIME"
        ),
    ] = "1s",
    warmup: Annotated[
        str,
        flag(
            "--warmup",
            help="Before an index is served: touch reads all its files; a file of queries (texts or vectors) "
            "is searched, too.",
            metavar="none|touch|FILE",
        ),
    ] = "none",
    admin_token_file: Annotated[
        Path | None,
        flag("--admin-token-file", help="Token of those who may change indexes.", panel=PANEL_ACCESS),
    ] = None,
    read_token_file: Annotated[
        Path | None, flag("--read-token-file", help="Token of those who may search.", panel=PANEL_ACCESS)
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        flag(
            "--allowed-host",
            help="Further name of this server; * for any.",
            panel=PANEL_ACCESS,
            metavar="NAME",
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        flag("--cors", help="Origin whose pages may ask.", panel=PANEL_ACCESS, metavar="ORIGIN"),
    ] = None,
    insecure: Annotated[
        bool, flag("--insecure", help="Serve other machines without a token.", env=False, panel=PANEL_ACCESS)
    ] = False,
    log: Annotated[
        Path | None, flag("--log", help="Log of requests, a JSON document a line; - is standard output.")
    ] = None,
    log_queries: Annotated[
        bool, flag("--log-queries", help="Let the log have the texts of queries.")
    ] = False,
    shutdown_grace: Annotated[
        str, flag("--shutdown-grace", help="Time for what is under way at the end.", metavar="TIME")
    ] = "10s",
    page: Annotated[bool, flag("--page/--no-page", help="Show a page at /.", env="CLUSCOMP_PAGE")] = True,
    mcp: Annotated[
        bool,
        flag("--mcp", help="Be tools of a language model, on standard input and output, instead of HTTP."),
    ] = False,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
) -> None:
    """Serve indexes over HTTP, with a page at http://127.0.0.1:8765.

    SIGTERM ends it with exit code 0 after the requests that are under way, Ctrl-C with 130; a second signal
    ends it at once.

    Examples:
    cluscomp serve scifact.index

    cluscomp serve flat=scifact-flat.index small=scifact.index --port 8080

    cluscomp serve scifact.index --mcp

    """
    # Products of a few queries are too small for the threads of NumPy's BLAS, which would wait for each other
    # beside ours. It reads this when NumPy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from cluscomp.checks import byte_size
    from cluscomp.server.registry import parse_indexes
    from cluscomp.server.run import require_packages
    from cluscomp.server.settings import ServerSettings, read_token
    from cluscomp.server.warming import read_warmup

    if not indexes and root is None:
        raise errors.UsageError("there is nothing to serve; name the folder of an index, or --root DIR")
    if mcp:
        tokens = {"--read-token-file": read_token_file, "--admin-token-file": admin_token_file}
        _run_mcp(parse_indexes(indexes or ()), root, encoder, threads, {**tokens, "--log": log})
        return
    require_packages()
    settings = ServerSettings(
        host=host,
        port=port,
        max_k=max_k,
        max_queries=max_queries,
        max_body=byte_size("max_body", max_body),
        queue=queue,
        timeout=common.seconds("--timeout", timeout),
        batch_wait=common.seconds("--batch-wait", batch_wait),
        batch_max=batch_max,
        refresh=common.seconds("--refresh", refresh),
        warmup=read_warmup(warmup),
        max_open=max_open,
        encoder=encoder,
        read_token=read_token(read_token_file),
        admin_token=read_token(admin_token_file),
        allowed_hosts=tuple(allowed_host or ()),
        cors=tuple(cors or ()),
        log_queries=log_queries,
        shutdown_grace=common.seconds("--shutdown-grace", shutdown_grace),
        page=page,
        insecure=insecure,
    )
    folders = parse_indexes(indexes or ())
    common.set_threads(threads)
    _run(folders, settings, root, log, quiet)


def _run_mcp(
    folders: dict[str, Path],
    root: Path | None,
    encoder: bool,
    threads: int | None,
    http_only: dict[str, Path | None],
) -> None:
    from cluscomp import __version__
    from cluscomp.server.mcp import IndexTools, require_packages, run_mcp

    given = [name for name, value in http_only.items() if value is not None]
    if given:
        raise errors.UsageError(f"{given[0]} is for HTTP; with --mcp whoever starts the program may read")
    require_packages()
    common.set_threads(threads)
    run_mcp(IndexTools(folders, root=root, encoder=encoder), __version__)


def _run(
    folders: dict[str, Path], settings: object, root: Path | None, log: Path | None, quiet: bool
) -> None:
    from cluscomp.server.core import Core
    from cluscomp.server.run import listening, run_server
    from cluscomp.server.settings import ServerSettings

    assert isinstance(settings, ServerSettings)
    with listening(settings.host, settings.port) as listener:
        core = Core(folders, settings, root=root, log=log)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{listener.getsockname()[1]}"
        n = len(core.registry.names())
        line = f"{address} serves {n} {'index' if n == 1 else 'indexes'}; Ctrl-C ends it"
        came = run_server(core, listener, started=lambda: None if quiet else output.note(line))
    if came == signal.SIGINT:
        output.note("interrupted")
        raise typer.Exit(INTERRUPTED)
