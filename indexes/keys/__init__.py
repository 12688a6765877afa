"""Index keys: grammar.py reads one, specs.py says what its parts stand for, pool.py has its pool."""
