"""Late interaction: an index whose rows are documents of several vectors.

index.py     MultiVectorIndex                 segment.py     what one add leaves behind
pooling.py   token vectors to fewer ones      search.py      candidates, MaxSim over codes, rerank
queries.py   the forms in which queries come  candidates.py  scores and vectors of documents by id
fde_candidates.py  candidates by fixed-dimensional encodings (MUVERA)
counted_lists.py   lists that count among documents that pass a condition
"""
