"""Searches over the shards of an index: each has some of its segments, and answers about these.

The driver holds the trained arrays and the ids. It projects queries and chooses lists once, asks all shards,
and merges what they find by the order of one machine: positions count through all segments of the manifest.

sharded_index.py  open, ShardedIndex     groups.py, ray_group.py  the shards, here or as actors
reader.py         what a shard answers   candidates.py            rows that shards found, and their merge
shared.py   filters                      vectors.py, documents.py, terms.py  the driver, by kind
"""
