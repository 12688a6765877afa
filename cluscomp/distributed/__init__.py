"""Builds and searches in shards, on one machine or many, with the bits of one.

A build has steps with contracts of files (plan.py), which any scheduler can run as commands (`cluscomp shard
...`); an engine runs the same functions from one call. A shard is a part of neighbouring rows, and becomes a
segment of the index.

build.py      build, plan_shards            steps.py       the steps and their order
plan.py       plan.json, its hash           job.py         an opened plan
arguments.py, recorded_encoder.py  what was asked for, as JSON
training.py   train, of all rows            shard_rows.py  the rows of a shard
lists.py      choose and place, for lists of bounded size
encoding.py   encode, of one shard          marker.py      what it has left, written last
committing.py commit                        unique_ids.py  ids of all shards differ
engines.py    what runs the steps           attempts.py    a folder for each try
ray_engine.py, ray_cluster.py  steps as tasks of Ray
search/       searches over shards
"""

from __future__ import annotations

from cluscomp.distributed.build import build
from cluscomp.distributed.search.sharded_index import ShardedIndex, open

__all__ = ["ShardedIndex", "build", "open"]
