"""The folder of an index.

manifest.py  manifest.json, checked field by field   opening.py   what a folder holds, as an index
fields.py    JSON that is not trusted                reading.py   an open folder: files of one state
names.py     names of files, from their contents     saving.py    which arrays a folder holds
identity.py  which file, which state of a folder     staging.py   files on their way into a folder
sources.py   files that arrays are mapped from       folder.py    a new folder, all or nothing
origin.py    the folder an index was opened from     commit.py    the next state in the same folder
deletions.py deleted rows as they are stored         retiring.py  files that no longer belong to it
stream.py    arrays written block by block           lock.py      the lock of the one writer
parts.py     bytes by part of the folder             texts.py, stored_texts.py  titles and texts
sniff.py     names other tools' files
"""
