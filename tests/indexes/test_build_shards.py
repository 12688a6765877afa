"""The stages of a build on a part of the rows: shards train alike and together hold what the whole holds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cluscomp.indexes import open_index, parse_key
from cluscomp.indexes.build.recipe import recipe_of
from cluscomp.indexes.build.request import WHOLE, Request, Shard
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.build.stage import BuildWork, run_stages
from cluscomp.indexes.build.stages import stages_of
from cluscomp.indexes.build.work import WorkFolder, work_path
from cluscomp.indexes.segments.trace import list_of_rows


def built(folder, key, source, shard=WHOLE, lengths=None):
    """The index that the stages make of one shard."""
    spec = parse_key(key).resolved()
    opened = recipe_of(spec).open(spec, Given(source, None, None, lengths, "fail"))
    request = Request(spec, "ip", 3, None, False, None, opened)
    output = folder / f"{shard.number}-{shard.of}"
    work = WorkFolder(work_path(output), request.identity())
    work.adopt("fail")
    quiet = BuildWork(work, output, lambda stage, done, total: None, replace=False, config={})
    run_stages(stages_of(request), quiet, request, shard)
    work.remove()
    return open_index(output, verify=True)


def trained(index):
    return {
        f"{stage}.{name}": array.tobytes()
        for stage, part in index.pipeline.stages().items()
        for name, array in part.parameters().items()
    }


def test_parts_of_rows_follow_each_other():
    parts = [Shard(i, 7).part(100) for i in range(7)]
    assert parts[0].start == 0 and parts[-1].stop == 100
    assert all(one.stop == two.start for one, two in pairwise(parts))
    assert WHOLE.part(5) == slice(0, 5)


@pytest.mark.parametrize("key", ["SQ8", "IVF8,PQ4x4,RFlat"])
def test_shards_of_vectors(tmp_path, key):
    x = np.random.default_rng(0).standard_normal((901, 16)).astype(np.float32)
    whole = built(tmp_path, key, x)
    parts = [built(tmp_path, key, x, Shard(i, 3)) for i in range(3)]
    assert all(trained(part) == trained(whole) for part in parts)
    assert np.concatenate([part.ids for part in parts]).tolist() == whole.ids.tolist() == list(range(901))
    np.testing.assert_array_equal(
        np.concatenate([list_of_rows(part.segments) for part in parts]), list_of_rows(whole.segments)
    )
    found = [part.search(x[:20], 5, nprobe=whole.spec.nlist, refine_factor=400) for part in parts]
    scores, ids = (np.concatenate([hits[which] for hits in found], axis=1) for which in (0, 1))
    order = np.lexsort((ids, -scores), axis=1)[:, :5]
    want = whole.search(x[:20], 5, nprobe=whole.spec.nlist, refine_factor=400)
    np.testing.assert_array_equal(np.take_along_axis(ids, order, axis=1), want[1])
    np.testing.assert_array_equal(np.take_along_axis(scores, order, axis=1), want[0])


def test_shards_of_documents(tmp_path):
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 9, size=101)
    x = rng.standard_normal((int(lengths.sum()), 16)).astype(np.float32)
    key = "Pool(n=3),IVF4,SQ8"
    whole = built(tmp_path, key, x, lengths=lengths)
    parts = [built(tmp_path, key, x, Shard(i, 2), lengths) for i in range(2)]
    assert all(trained(part) == trained(whole) for part in parts)
    assert np.concatenate([part.ids for part in parts]).tolist() == whole.ids.tolist()
    for name in ("codes", "lists"):
        together = np.concatenate([part.segments[0].arrays()[name] for part in parts])
        np.testing.assert_array_equal(together, whole.segments[0].arrays()[name])
