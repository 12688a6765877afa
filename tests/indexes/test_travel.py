"""Indexes travel: by pickle, copy and into spawned processes; saves to one folder by several owners lose nothing."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from stored_files import file_of

import cluscomp as cc
from cluscomp.errors import DuplicateIdError, IndexChangedError, IndexMissingError, OutputExistsError
from cluscomp.indexes import open_index

DOCUMENT_KEYS = ("Pool4,Flat", "Pool4,IVF8,PQ12", "Pool4,PQ6,Refine(SQ8)")


def travelled(index: Any) -> Any:
    return arrived(pickle.dumps(index))


def arrived(parcel: bytes) -> Any:
    return pickle.loads(parcel)  # noqa: S301 - made by this test


def same_results(one: Any, other: Any, queries: np.ndarray, **options: Any) -> None:
    for got, wanted in zip(
        other.search(queries, 5, **options), one.search(queries, 5, **options), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_every_key_travels_in_memory_and_from_its_folder(any_key, make_index, queries, tmp_path):
    names = [f"row {i}" for i in range(600)]
    index = make_index(any_key, ids=names)
    index.search(queries, 3)  # caches of the kernels are there
    index.delete(names[:5])
    same_results(index, travelled(index), queries)
    same_results(index, copy.copy(index), queries)
    same_results(index, copy.deepcopy(index), queries)
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    parcel = pickle.dumps(opened)
    assert len(parcel) < 4000  # the path, not the arrays
    same_results(index, arrived(parcel), queries)


@pytest.fixture
def documents() -> Any:
    rng = np.random.default_rng(4)
    lengths = rng.integers(1, 9, size=120)
    x = rng.standard_normal((lengths.sum(), 24)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True), lengths


@pytest.mark.parametrize("key", DOCUMENT_KEYS)
@pytest.mark.parametrize("options", [{}, {"candidates_by": "fde"}])
def test_documents_travel(key, options, documents, tmp_path):
    x, lengths = documents
    index = cc.index_factory(key, 24, seed=1).train(x, lengths=lengths).add(x, lengths=lengths)
    options = {"lengths": [3, 4], **options}
    index.search(x[:7], 3, **options)
    same_results(index, travelled(index), x[:7], **options)
    index.save(tmp_path / "index")
    same_results(index, travelled(open_index(tmp_path / "index")), x[:7], **options)


def test_another_process_finds_text_ids_and_refuses_those_that_are_there(rows, tmp_path):
    names = [f"row {i}" for i in range(600)]
    index = cc.index_factory("IVF8,PQ4", 16, seed=1).train(rows).add(rows, ids=names)
    (tmp_path / "parcel").write_bytes(pickle.dumps(index))
    program = """
        import pickle, sys
        import numpy as np
        index = pickle.loads(open(sys.argv[1], "rb").read())
        assert index.delete(["row 7"]) == 1
        try:
            index.add(np.zeros((1, 16), np.float32), ids=["row 8"])
        except ValueError as error:
            print(type(error).__name__, len(index))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "parcel")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [DuplicateIdError.__name__, "599"]


def test_settings_travel_with_the_path(rows, tmp_path):
    cc.index_factory("IVF8,Flat", 16, seed=1).train(rows).add(rows).save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    opened.nprobe = 3
    assert travelled(opened).nprobe == 3


def test_rows_added_after_opening_travel_as_arrays(rows, queries, tmp_path):
    cc.index_factory("SQ8", 16, seed=1).train(rows).add(rows).save(tmp_path / "index")
    opened = open_index(tmp_path / "index").add(rows[:9])
    same_results(opened, travelled(opened), queries)
    assert len(travelled(opened)) == 609


def test_a_pickled_path_leads_to_the_state_that_was_pickled_or_nowhere(rows, tmp_path):
    index = cc.index_factory("Flat", 16).add(rows)
    index.save(tmp_path / "index")
    parcel = pickle.dumps(open_index(tmp_path / "index"))
    cc.index_factory("Flat", 16).add(rows[:7]).save(tmp_path / "index", if_exists="replace")
    with pytest.raises(OutputExistsError, match="was changed since the index opened from it was pickled"):
        arrived(parcel)
    (tmp_path / "index").rename(tmp_path / "elsewhere")
    with pytest.raises(IndexMissingError):
        arrived(parcel)


ESTIMATORS = {
    "KMeans": lambda x: cc.KMeans(8).fit(x),
    "BalancedKMeans": lambda x: cc.BalancedKMeans(8).fit(x),
    "SphericalKMeans": lambda x: cc.SphericalKMeans(8).fit(x),
    "HierarchicalKMeans": lambda x: cc.HierarchicalKMeans([16, 4]).fit(x),
    "KMeansTree": lambda x: cc.KMeansTree(4).fit(x),
    "KMedoids": lambda x: cc.KMedoids(4).fit(x),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_travel(name, rows):
    fitted = ESTIMATORS[name](rows)
    labels = fitted.predict(rows)
    for other in (travelled(fitted), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(other.predict(rows), labels)


def test_quantizers_travel(rows):
    quantizer = cc.ProductQuantizer(16, 4, rotation="opq", n_iter=3).train(rows)
    codes = quantizer.encode(rows)
    np.testing.assert_array_equal(travelled(quantizer).encode(rows), codes)


def test_an_index_is_saved_again_where_it_was_saved(rows, queries, tmp_path):
    index = cc.index_factory("IVF8,SQ8", 16, seed=1).train(rows).add(rows)
    index.save(tmp_path / "a")
    index.add(rows[:10]).save(tmp_path / "a")
    index.save(tmp_path / "b")
    index.delete([3])
    index.save(tmp_path / "b")
    index.save(tmp_path / "a")
    for name in ("a", "b"):
        same_results(index, open_index(tmp_path / name, verify=True), queries)
    with pytest.raises(OutputExistsError):
        cc.index_factory("Flat", 16).add(rows).save(tmp_path / "a")


def test_a_copy_does_not_overwrite_what_the_original_saved(rows, tmp_path):
    index = cc.index_factory("IVF8,Flat", 16, seed=1).train(rows).add(rows)
    index.save(tmp_path / "a")
    index.add(rows[:1])
    other = copy.copy(index).add(rows[:2])
    other.nprobe = 2
    index.save(tmp_path / "a")
    assert index.nprobe != 2
    with pytest.raises(OutputExistsError, match="was changed since"):
        other.save(tmp_path / "a")
    assert len(open_index(tmp_path / "a")) == 601


def test_a_later_save_links_the_rows_that_an_earlier_one_wrote(rows, tmp_path):
    index = cc.index_factory("Flat", 16).add(rows)
    index.save(tmp_path / "a")
    first = file_of(tmp_path / "a", "segment0.codes").stat().st_ino
    index.add(rows[:10]).save(tmp_path / "a")
    assert file_of(tmp_path / "a", "segment0.codes").stat().st_ino == first


@pytest.mark.parametrize("late", ["before the arrays", "before the exchange"])
def test_two_owners_of_one_folder_lose_no_row(late, rows, tmp_path, monkeypatch):
    """The second save is refused, also where the first one ends while the second one writes its arrays."""
    cc.index_factory("Flat", 16).add(rows).save(tmp_path / "a")
    one, other = open_index(tmp_path / "a").add(rows[:3]), open_index(tmp_path / "a").add(rows[:5])
    if late == "before the arrays":
        one.save(tmp_path / "a")
    else:
        from cluscomp.indexes.storage.commit import FolderCommit

        publish = FolderCommit.publish

        def first_the_other(commit: Any, *arguments: Any) -> Any:
            monkeypatch.setattr(FolderCommit, "publish", publish)
            one.save(tmp_path / "a")
            return publish(commit, *arguments)

        monkeypatch.setattr(FolderCommit, "publish", first_the_other)
    with pytest.raises(IndexChangedError, match="from generation 1, and there is generation 2 now"):
        other.save(tmp_path / "a")
    assert len(other) == 605
    assert len(open_index(tmp_path / "a")) == 603


def test_processes_that_open_add_and_save_lose_no_acknowledged_row(rows, tmp_path):
    cc.index_factory("Flat", 16).add(rows).save(tmp_path / "a")
    program = """
        import sys
        import numpy as np
        from cluscomp.errors import OutputExistsError
        from cluscomp.indexes import open_index
        done = 0
        while done < 8:
            try:
                index = open_index(sys.argv[1])
                index.add(np.ones((5, 16), np.float32)).save(sys.argv[1])
                done += 1
            except OutputExistsError:
                pass
        print(done)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a")]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [writer.communicate()[0].strip() for writer in writers] == ["8", "8"]
    assert len(open_index(tmp_path / "a", verify=True)) == 600 + 2 * 8 * 5
