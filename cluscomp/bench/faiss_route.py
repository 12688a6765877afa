"""What one writes to serve faiss: a route of FastAPI. `python -m cluscomp.bench.faiss_route INDEX`."""
# The framework reads annotations of routes as values: no `from __future__ import annotations` here.

import base64
import socket
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import require


@dataclass
class Body:
    """A search by vectors, as lists or packed."""

    k: int
    vectors: list[list[float]] | None = None
    vectors_b64: dict[str, Any] | None = None


def make_app(folder: str) -> Any:
    """The application: the codes of an index, copied into faiss.

    One thread: single searches are too short for more, which wait for each other.
    """
    from cluscomp.indexes.index import open_index

    fastapi = require("fastapi", extra="serve", why="`cluscomp bench serve`")
    require("faiss", extra="faiss", why="`cluscomp bench serve --vs faiss`").omp_set_num_threads(1)
    index = open_index(folder)
    searched: Any = index.to_faiss(text_ids="rows")
    app = fastapi.FastAPI()

    async def search(body: Body) -> Any:
        if body.vectors_b64 is not None:
            packed = body.vectors_b64
            rows = np.frombuffer(base64.b64decode(packed["data"]), np.float32).reshape(packed["shape"])
        else:
            rows = np.array(body.vectors, dtype=np.float32)
        scores, ids = searched.search(rows, body.k)
        return {"scores": scores.tolist(), "ids": ids.tolist()}

    app.post("/v1/indexes/x/search")(search)
    return app


def main() -> None:
    """Serve on a free port until a signal comes."""
    uvicorn = require("uvicorn", extra="serve", why="`cluscomp bench serve`")
    # With the protocol said, connections are those that send at once (TCP_NODELAY).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    app = make_app(sys.argv[1])
    sys.stderr.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stderr.flush()
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
