"""Which rows a search may find: conditions on attributes, ids and masks, as sets of rows.

given.py    what callers pass          allowed.py  rows of each segment that pass
cache.py    bits of earlier conditions  info.py     what a search tells of itself
"""
