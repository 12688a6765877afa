"""Parts of a sample as actors of a Ray cluster, for the training of lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluscomp import errors
from cluscomp.clustering.parted import Crew, RowsPart
from cluscomp.distributed.exchange import discard, packed, unpacked
from cluscomp.distributed.parted_lists import SamplePart
from cluscomp.distributed.ray_cluster import RayCluster, environment
from cluscomp.errors import CluscompError


@contextmanager
def ray_crew(cluster: RayCluster, folder: Path, parts: Sequence[SamplePart]) -> Iterator[Crew]:
    """One actor a part, spread over the nodes, until the block ends. folder: for files of the exchange."""
    widest, total = cluster.cpus()
    threads = max(1, min(widest, total // len(parts)))
    actor = cluster.ray.remote(PartActor).options(
        num_cpus=min(threads, total / len(parts)),
        max_restarts=0,
        scheduling_strategy="SPREAD",
        runtime_env=environment(threads),
    )
    actors = [actor.remote(str(folder), part) for part in parts]
    try:
        yield RayCrew(cluster, folder, actors)
    finally:
        for one in actors:
            cluster.ray.kill(one)


class RayCrew:
    """Asks actors, as `Crew` says."""

    def __init__(self, cluster: RayCluster, folder: Path, actors: Sequence[Any]) -> None:
        self._ray, self._folder, self._actors = cluster.ray, folder, actors

    def each(self, method: str, *arguments: Any) -> list[Any]:
        """As `Crew.each`. Raises ShardUnavailableError for a worker that died."""
        return self._asked(self._actors, method, arguments)

    def one(self, part: int, method: str, *arguments: Any) -> Any:
        """As `Crew.one`."""
        return self._asked(self._actors[part : part + 1], method, arguments)[0]

    def _asked(self, actors: Sequence[Any], method: str, arguments: Sequence[Any]) -> list[Any]:
        sent = packed(arguments, self._folder)
        try:
            return [self._answer(asked) for asked in [one.answer.remote(method, *sent) for one in actors]]
        finally:
            discard(sent)

    def _answer(self, reference: Any) -> Any:
        try:
            found, is_tuple, error = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as exc:
            raise exc.as_instanceof_cause() from exc
        except self._ray.exceptions.RayError as exc:
            raise errors.ShardUnavailableError(
                f"a worker that trained lists ended ({type(exc).__name__}), and its labels with it; look at "
                "the memory of the nodes, and run the same call again"
            ) from exc
        if error is not None:
            raise error
        values = unpacked(found)
        discard(found)
        return values if is_tuple else values[0]


class PartActor:
    """A part in a process of its own, read when it is first asked."""

    def __init__(self, folder: str, part: SamplePart) -> None:
        self._folder, self._part = Path(folder), part
        self._rows: RowsPart | None = None

    def answer(self, method: str, *arguments: Any) -> tuple[tuple[Any, ...], bool, CluscompError | None]:
        """The answer, packed; whether it is a tuple; and the error of ours that came instead."""
        try:
            if self._rows is None:
                self._rows = self._part.rows()
            found = getattr(self._rows, method)(*unpacked(arguments))
        except CluscompError as exc:
            return (), True, exc
        is_tuple = isinstance(found, tuple)
        return packed(found if is_tuple else (found,), self._folder), is_tuple, None
