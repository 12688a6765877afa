"""What one add leaves behind, and the search over it.

ids.py     permanent ids         id_lookup.py  ids to rows, over all segments
stored.py  what every segment is segment.py    rows of single vectors
search.py  probe, scan, merge, score again     trace.py  where a search lost its hits
"""
