"""What one add leaves behind, and the search over it.

ids.py     permanent ids         id_lookup.py  ids to rows, over all segments
stored.py  what every segment is segment.py    rows of single vectors
search.py  probe, scan, score again          trace.py  where a search lost its hits
whole_search.py  a search in one call of the kernels
tombstones.py  deleted rows, as bits         scoring.py  rows that are named get their scores
chosen.py  some rows side by side            row_lookup.py  where the codes of a row stand
passing.py rows that a condition lets pass   budget.py  lists until enough of them were read
row_sets.py  rows as bits or as positions
"""
