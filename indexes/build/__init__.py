"""Indexes built from texts or vectors that may be larger than memory.

run.py      build_index, plan_build       stages.py   the stages of a build, in order
source.py   what the rows come from       vectors.py  reading, encoding and sampling rows
texts.py    memory and time of encoders   work.py     the folder of an unfinished build
plan.py     what a build will need        costs.py    memory, disk and operations of each stage
writer.py   a folder in two passes        rates.py, memory.py  this machine's speed and memory
id_stream.py  ids as they come            documents_*.py  the same for documents of several vectors
"""

from __future__ import annotations

from cluscomp.indexes.build.run import BuildReport, build_index, plan_build

__all__ = ["BuildReport", "build_index", "plan_build"]
