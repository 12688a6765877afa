"""Shards as actors of a Ray cluster. One that dies is started again, and the call is repeated once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluscomp.distributed.ray_cluster import RayCluster, environment
from cluscomp.distributed.search.groups import Arguments, Lost, ShardPart
from cluscomp.distributed.search.reader import ShardReader
from cluscomp.errors import CluscompError


class RayGroup:
    """One actor a shard. address: as of `RayCluster`."""

    def __init__(
        self, cluster: RayCluster, path: str, generation: int | None, parts: Sequence[ShardPart]
    ) -> None:
        self.parts, self._cluster, self.is_open = parts, cluster, True
        widest, total = cluster.cpus()
        threads = max(1, min(widest, total // len(parts)))
        actor = cluster.ray.remote(ShardActor).options(
            num_cpus=min(1.0, total / len(parts)) / 2,  # those of a lost node find room on the others
            scheduling_strategy="SPREAD",
            max_restarts=-1,
            max_task_retries=1,
            runtime_env=environment(threads),
        )
        self.actors = [actor.remote(path, generation, part.first, part.last) for part in parts]

    def ask(self, method: str, arguments: Sequence[Arguments]) -> list[Any]:
        """See Group."""
        asked = [
            None if own is None else actor.answer.remote(method, *own)
            for actor, own in zip(self.actors, arguments, strict=True)
        ]
        return [None if reference is None else self._got(reference) for reference in asked]

    def close(self) -> None:
        """See Group."""
        if not self.is_open:
            return
        self.is_open = False
        for actor in self.actors:
            self._cluster.ray.kill(actor)
        self._cluster.__exit__(None, None, None)

    def _got(self, reference: Any) -> Any:
        ray = self._cluster.ray
        try:
            answer, error = ray.get(reference)
        except ray.exceptions.RayTaskError as exc:
            raise exc.as_instanceof_cause() from exc
        except ray.exceptions.RayError as exc:
            return Lost(f"its process ended ({type(exc).__name__})")
        if isinstance(error, OSError):
            return Lost(str(error))
        if error is not None:
            raise error
        return answer


class ShardActor:
    """A reader in a process of its own, opened when it is first asked, so that a folder that cannot be read
    is an answer and not a process that ends.
    """

    def __init__(self, path: str, generation: int | None, first: int, last: int) -> None:
        self._what = path, generation, first, last
        self._reader: ShardReader | None = None

    def answer(self, method: str, *arguments: Any) -> tuple[Any, Exception | None]:
        """The answer, or the error of ours or of the system that came instead."""
        try:
            if self._reader is None:
                self._reader = ShardReader(*self._what)
            return self._reader.answer(method, *arguments), None
        except (CluscompError, OSError) as exc:
            return None, exc
