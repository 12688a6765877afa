"""Index keys.

grammar.py  reads a key                    forms.py  how its parts are written; the stages register theirs
specs.py    what parts and keys stand for  pool.py   the part that pools token vectors
"""
