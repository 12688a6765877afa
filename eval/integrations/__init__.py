"""Compressed indexes in the places where other packages have their own.

mteb.py, sentence_transformers.py   in their evaluations
semantic_search.py                  instead of sentence-transformers' util.semantic_search
pylate.py                           as an index of PyLate
sklearn.py                          as a transformer of scikit-learn
embeddings.py                       what those packages hand over
langchain.py, llamaindex.py,
haystack.py                         as a store of documents; *_filter.py and conditions.py read their filters,
                                    haystack_documents.py its documents
growing.py                          the store behind these: exact at first, converted beside its users
                                    (kept.py, growth.py, conversion.py, metadata.py, rows.py)
"""
