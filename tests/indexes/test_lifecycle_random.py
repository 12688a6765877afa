"""Random lives of an index with two owners, against dicts: id -> row, in order of adding."""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from object_bucket import fresh

from cluscomp.errors import DuplicateIdError, IndexChangedError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.storage.places import place_of
from cluscomp.indexes.verify import verify_index

DIM = 4
IDS = st.lists(st.integers(0, 40).map(lambda number: f"d{number}"), min_size=1, max_size=12, unique=True)
Model = dict[str, float]


class Owner:
    """An index that was opened from the folder, what it must hold, and what it began from."""

    def __init__(self, path: Any, saved: Model) -> None:
        self.index: Any = open_index(path)
        self.settle(saved)

    @property
    def gone(self) -> set[tuple[str, float]]:
        return set(self.base.items()) - set(self.model.items())

    @property
    def new(self) -> Model:
        return {name: value for name, value in self.model.items() if self.base.get(name) != value}

    def settle(self, saved: Model) -> None:
        self.model, self.base, self.compacted = dict(saved), dict(saved), False

    def check(self) -> None:
        names = list(self.model)
        assert self.index.ids.tolist() == names
        assert len(self.index) == len(names)
        if names:
            found = self.index.vectors(names)
            np.testing.assert_array_equal(found, rows_of(self.model, names))
            ids = self.index.search(rows_of(self.model, names[:3]), 1)[1][:, 0]
            assert [self.model[name] for name in ids.tolist()] == [max(self.model.values())] * len(ids)


def rows_of(model: Model, names: list[str]) -> np.ndarray:
    return np.array([[model[name]] * DIM for name in names], dtype=np.float32)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path: Any = self.place()
        index_factory("Flat", DIM).save(self.path)
        self.saved: Model = {}
        self.value = 0.0
        self.owners = [Owner(self.path, {}), Owner(self.path, {})]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def place(self) -> Any:
        """Where the index lives."""
        return self.folder / "index"

    def values(self, names: list[str]) -> Model:
        """A new row for each id: no two rows are ever equal."""
        found = {name: self.value + number + 1 for number, name in enumerate(names)}
        self.value += len(names)
        return found

    def newest(self) -> int:
        return int(json.loads((self.path / "manifest.json").read_text())["generation"])

    def settle(self, owner: Owner, saved: Model) -> None:
        """The folder holds what the owner holds."""
        assert owner.index.generation == self.newest()
        self.saved = dict(saved)
        owner.settle(saved)

    # ---- changes in memory ----

    @rule(which=st.integers(0, 1), names=IDS)
    def add(self, which: int, names: list[str]) -> None:
        owner, new = self.owners[which], self.values(names)
        if owner.model.keys() & new.keys():
            with pytest.raises(DuplicateIdError):
                owner.index.add(rows_of(new, names), names)
            return
        owner.index.add(rows_of(new, names), names)
        owner.model |= new

    @rule(which=st.integers(0, 1), names=IDS)
    def upsert(self, which: int, names: list[str]) -> None:
        owner, new = self.owners[which], self.values(names)
        assert owner.index.upsert(rows_of(new, names), names) == len(owner.model.keys() & new.keys())
        owner.model = {name: value for name, value in owner.model.items() if name not in new} | new

    @rule(which=st.integers(0, 1), names=IDS)
    def delete(self, which: int, names: list[str]) -> None:
        owner = self.owners[which]
        there = [name for name in names if name in owner.model]
        assert owner.index.delete(names, missing="ignore") == len(there)
        for name in there:
            del owner.model[name]

    @rule(which=st.integers(0, 1), segments=st.integers(1, 3), dead=st.sampled_from([0, 0.2, 1]))
    def compact(self, which: int, segments: int, dead: float) -> None:
        owner = self.owners[which]
        owner.index.compact(segments=segments, dead=dead)
        owner.compacted = True

    # ---- the folder ----

    @rule(which=st.integers(0, 1), grace=st.sampled_from([0, 600]))
    def save(self, which: int, grace: float) -> None:
        owner, before = self.owners[which], self.newest()
        if owner.index.generation != before:
            with pytest.raises(IndexChangedError):
                owner.index.save(self.path, grace=grace)
            return
        owner.index.save(self.path, grace=grace)
        assert owner.index.generation in (before, before + 1)
        assert owner.model == owner.base or owner.index.generation == before + 1
        self.settle(owner, owner.model)

    @precondition(lambda self: not any(owner.compacted for owner in self.owners))
    @rule(which=st.integers(0, 1))
    def join(self, which: int) -> None:
        owner = self.owners[which]
        gone = owner.gone
        kept = {name: value for name, value in self.saved.items() if (name, value) not in gone}
        if kept.keys() & {name for name, _ in gone}:
            return  # somebody else replaced a row that was deleted here
        if kept.keys() & owner.new.keys():
            before = self.newest()
            with pytest.raises(DuplicateIdError):
                owner.index.save(self.path, merge=True)
            assert self.newest() == before
            return
        joined = kept | owner.new
        owner.index.save(self.path, merge=True)
        self.settle(owner, joined)

    @rule(which=st.integers(0, 1))
    def refresh(self, which: int) -> None:
        owner = self.owners[which]
        is_old = owner.index.generation != self.newest()
        if not owner.index.has_changes:
            assert owner.index.refresh() == is_old
            self.settle(owner, self.saved)
        elif is_old:
            with pytest.raises(UsageError, match="not saved"):
                owner.index.refresh()

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.owners[which] = Owner(self.path, self.saved)

    @rule(names=IDS)
    def write_in_a_block(self, names: list[str]) -> None:
        self.reopen(0)
        owner, new = self.owners[0], self.values(names)
        with owner.index.writer():
            owner.index.upsert(rows_of(new, names), names)
        self.settle(owner, {name: value for name, value in self.saved.items() if name not in new} | new)

    # ---- what always holds ----

    @invariant()
    def owners_hold_what_they_must(self) -> None:
        for owner in self.owners:
            owner.check()

    @invariant()
    def the_folder_is_whole(self) -> None:
        assert not verify_index(self.path)
        assert open_index(self.path).ids.tolist() == list(self.saved)


class ObjectLife(Life):
    """The same in an object store, whose cache is as old as the life."""

    def place(self) -> str:
        self.environment = pytest.MonkeyPatch()
        self.environment.setenv("CLUSCOMP_CACHE", str(self.folder))
        return fresh("life")

    def teardown(self) -> None:
        self.environment.undo()
        super().teardown()

    def newest(self) -> int:
        raw = place_of(self.path).raw_manifest()
        assert raw is not None
        return int(json.loads(raw)["generation"])


OPTIONS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}


class TestLife(Life.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=12, stateful_step_count=25, **OPTIONS)


@pytest.mark.skipif(find_spec("obstore") is None, reason="needs obstore")
class TestObjectLife(ObjectLife.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=8, stateful_step_count=25, **OPTIONS)


@pytest.mark.slow
class TestLongLife(Life.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=60, stateful_step_count=200, **OPTIONS)
