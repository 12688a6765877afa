"""Indexes over HTTP: one process, one event loop, one thread that searches. `cluscomp serve` runs it."""
