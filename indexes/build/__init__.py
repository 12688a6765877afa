"""Indexes built from texts or vectors that may be larger than memory.

A build is a list of stages (stage.py), each a function of the work so far, the request and the shard, which
records its facts. stages.py has those that all kinds share; a recipe says what a kind brings: its source, the
stages up to its vectors, and the files of its segments.

run.py     build_index, plan_build          stage.py        Stage, the work under way, the loop over stages
stages.py  read, plan, sample, train, write request.py      what was asked for; shards
recipe.py  what a kind brings               source.py       what the rows come from
vectors.py    the recipe of single vectors  documents.py    the recipe of documents of several vectors
hybrid.py, hybrid_source.py, hybrid_writer.py  vectors and terms of the same documents
vector_writer.py, document_writer.py  files of a segment    document_shape.py  what a pool leaves and takes
segment_writer.py  streams of one segment   writer.py       IndexWriter: an index from blocks of rows
id_stream.py  ids as they come              finishing.py    last passes over the files
pooled.py  spool of pooled documents        work.py         the folder of an unfinished build
plan.py    sizes that fit the memory        costs.py        memory, disk and operations of each stage
texts.py   memory and time of encoders      rates.py, memory.py  this machine's speed and memory
report.py  report.json and build.json
scale.py, core_rates.py  plans of very many rows on other machines
"""

from __future__ import annotations

from cluscomp.indexes.build.run import BuildReport, build_index, plan_build
from cluscomp.indexes.build.scale import Machines, ScalePlan, plan_scale

__all__ = ["BuildReport", "Machines", "ScalePlan", "build_index", "plan_build", "plan_scale"]
