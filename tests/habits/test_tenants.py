"""No answer of an index of tenants holds a row of another tenant: every method that reads rows, every kind of
index, after any changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_kinds import KINDS, Kind

import cluscomp as cc
from cluscomp.errors import InputError, UsageError

TENANTS = ("ada", "bob", "Ada", "")
READING = {"search", "score", "vectors", "terms", "get", "attributes", "to_faiss", "delete", "segments_of"}
"""Methods that take `tenant`."""
WHOLE = {
    "add", "attribute_schema", "candidates", "check_encoder", "code_bytes_per_document", "code_size", "compact",
    "declare_attributes", "dense", "depth", "describe", "encoder", "extra_file", "extra_files", "from_folder", "generation",
    "has_changes", "has_texts", "health", "heap_factor", "id_kind", "ids", "is_trained", "lexical", "manifest", "n_deleted", "n_postings",
    "n_total", "n_vectors", "nbytes", "next_id", "nprobe", "origin", "pool_documents", "push_to_hub", "query_cut", "refine_factor", "refresh",
    "row_facts", "rows_are", "save", "search_defaults", "segments", "set_attributes", "succeed", "to_cuvs", "to_lance", "train", "train_vectors", "training",
    "training_limit", "upsert", "weight", "writer",
}  # fmt: skip
"""Those about the index as a whole, for its owner: docs/filters.md names the ones that show rows. The sides of a
hybrid index are indexes that ask themselves.
"""


def refused(error: type[Exception], call: Any) -> None:
    with pytest.raises(error):
        call()


def owned(kind: Kind, n: int) -> tuple[Any, dict[int, str | None]]:
    """An index of n rows, and whose each is; None: nobody's."""
    index = kind.trained()
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    owners = {i: None if i % 11 == 0 else TENANTS[i % 4] for i in range(n)}
    half = n // 2
    rows = kind.rows(n)
    for part in (range(half), range(half, n)):
        values = [{"owner": owners[i]} for i in part]
        index.add(kind.some(rows, slice(part.start, part.stop)), list(part), attributes=values)
    return index, owners


def rows_that_are_read(kind: Kind, index: Any, tenant: str, ids: list[int]) -> set[int]:
    """Everything that the index says about these ids, or finds, for a tenant."""
    queries = kind.rows(3, seed=4)
    seen: set[int] = set()
    for filter in (None, ids, {"op": "!=", "field": "owner", "value": "nobody"}):
        found = kind.search(index, queries, 20, tenant=tenant, filter=filter)[1]
        seen |= {i for i in found.ravel().tolist() if i >= 0}
    scores = index.score(queries, ids, missing="ignore", tenant=tenant)
    seen |= {ids[column] for column in np.flatnonzero((scores > -np.inf).any(axis=0)).tolist()}
    records = index.get(ids, missing="ignore", tenant=tenant)
    assert all(record.attributes == {"owner": tenant} for record in records)
    seen |= {record.id for record in records}
    read = index.terms if hasattr(index, "terms") else index.vectors
    for name in ids:
        try:
            read([name], tenant=tenant)
            index.get(name, tenant=tenant)
        except InputError:
            continue
        except UsageError:  # no way back from the codes
            index.get(name, tenant=tenant)
        seen.add(name)
    return seen


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.data())
def test_no_method_reads_a_row_of_another_tenant(kind, tmp_path_factory, data):
    n = 36
    index, owners = owned(kind, n)
    for _ in range(data.draw(st.integers(1, 4))):
        some = sorted(data.draw(st.sets(st.sampled_from(sorted(owners)), min_size=1, max_size=8)))
        step = data.draw(st.sampled_from(["give", "delete", "upsert", "reopen", "compact"]))
        if step == "give":
            names = [data.draw(st.sampled_from([*TENANTS, None])) for _ in some]
            index.set_attributes(some, {"owner": names})
            owners |= dict(zip(some, names, strict=True))
        elif step == "delete" and len(owners) > len(some):
            index.delete(some, tenant=None)
            owners = {name: owner for name, owner in owners.items() if name not in some}
        elif step == "upsert":
            names = [data.draw(st.sampled_from(TENANTS)) for _ in some]
            index.upsert(kind.rows(len(some), 7), some, attributes={"owner": names})
            owners |= dict(zip(some, names, strict=True))
        elif step == "reopen":
            index.save(tmp_path_factory.mktemp("tenants") / "i")
            index = cc.open_index(index.origin.folder)
        elif index.n_deleted or len(index.segments) > 1:
            index.compact(segments=1, dead=0.0)
    tenant = data.draw(st.sampled_from(TENANTS))
    own = {name for name, owner in owners.items() if owner == tenant}
    ids = sorted(owners)
    assert rows_that_are_read(kind, index, tenant, ids) == own
    assert index.attributes(tenant=tenant).to_dict()["owner"] == [tenant] * len(own)
    assert len(index.attributes(tenant=None).to_dict()["owner"]) == len(owners)
    others = [name for name in ids if name not in own]
    assert index.delete(others, missing="ignore", tenant=tenant) == 0
    if others:
        refused(InputError, lambda: index.delete(others[:1], tenant=tenant))
    assert index.delete(ids, missing="ignore", tenant=tenant) == len(own)
    assert sorted(index.ids.tolist()) == others


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_method_that_reads_rows_asks_whose(kind):
    index, _ = owned(kind, 20)
    public = {name for name in dir(index) if not name.startswith("_")}
    plain = set(vars(kind.trained()))
    assert public - plain <= READING | WHOLE  # a new method belongs into one of the two
    queries = kind.rows(2)
    read = index.terms if hasattr(index, "terms") else index.vectors
    for call in (
        lambda **o: kind.search(index, queries, 3, **o),
        lambda **o: kind.search(index, queries, 3, filter=[1, 2], **o),
        lambda **o: index.score(queries, [1], **o),
        lambda **o: index.get([1], **o),
        lambda **o: index.get([], **o),
        lambda **o: index.attributes(**o),
        lambda **o: index.segments_of(**o),
        lambda **o: index.delete([1], missing="ignore", **o),
        lambda **o: index.delete(filter=[1], **o),
        lambda **o: read([2], **o),
    ):
        with pytest.raises(UsageError, match="say whose are meant by tenant="):
            call()
        with pytest.raises(UsageError, match="must be a text or None"):
            call(tenant=3)
        try:
            call(tenant=None)
        except UsageError as exc:
            assert "has no way back" in str(exc) or "no inverse" in str(exc), exc


def test_health_and_conversions_are_about_the_whole_index(tmp_path):
    index = cc.index_factory("IVF8,SQ8", 8)
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype("f4")
    index.train(rows).declare_attributes({"owner": cc.Field("text", tenant=True)})
    index.nprobe = 1
    index.add(rows, attributes={"owner": ["a", "b"] * 150})
    assert any(item.name == "probe" and item.value for item in index.health(probe=True).items)
    index.save(tmp_path / "i")
    cc.convert_index(tmp_path / "i", tmp_path / "other", index_key="SQ8")
    opened = cc.open_index(tmp_path / "other")
    assert opened.attribute_schema.tenant == "owner" and opened.attributes(tenant="a").n_rows == 150
    assert (opened.search(rows[:3], 5, tenant="b")[1] % 2 == 1).all()


@pytest.mark.parametrize("name", ["Index", "MultiVectorIndex", "SparseIndex", "SeismicIndex", "HybridIndex"])
def test_every_public_name_is_known_here(name):
    public = {one for one in dir(getattr(cc, name)) if not one.startswith("_")}
    assert public <= READING | WHOLE
