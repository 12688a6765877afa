"""Compressed indexes in the places where other packages have their own.

mteb.py, sentence_transformers.py   in their evaluations
semantic_search.py                  instead of sentence-transformers' util.semantic_search
pylate.py                           as an index of PyLate
embeddings.py                       what those packages hand over
langchain.py                        as a store of documents: adapters over growing.py, a store that begins
                                    exact and is converted beside its users (kept.py, conversion.py,
                                    metadata.py, rows.py)
"""
