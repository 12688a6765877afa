"""Indexes of documents in two forms, vectors and weighted terms, in one folder and searched as one."""
