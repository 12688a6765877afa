"""A server on the loopback, in a thread of this process."""

from __future__ import annotations

import contextlib
import threading

from server_waits import wait_until


class Running:
    """A server on a free port; `url` and `core` are those of it."""

    def __init__(self, folders, **settings):
        from cluscomp.server.core import Core
        from cluscomp.server.run import listening, make_server
        from cluscomp.server.settings import ServerSettings

        root, log = settings.pop("root", None), settings.pop("log", None)
        chosen = ServerSettings(**{"port": 0, "refresh": 0, "encoder": False, **settings})
        self.listener = listening(chosen.host, 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.core = Core(folders, chosen, root=root, log=log)
        self.server = make_server(self.core)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.server.started)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(30)
        self.listener.close()
        assert not self.thread.is_alive()

    @contextlib.contextmanager
    def client(self, **options):
        from cluscomp.server.client import Client

        with Client(self.url, **options) as found:
            yield found

    def http(self, **options):
        import httpx2

        return httpx2.Client(base_url=self.url, timeout=30, trust_env=False, **options)
