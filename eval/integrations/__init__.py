"""Compressed indexes in the places where other packages have their own.

mteb.py, sentence_transformers.py   in their evaluations
semantic_search.py                  instead of sentence-transformers' util.semantic_search
pylate.py                           as an index of PyLate
embeddings.py                       what those packages hand over
"""
