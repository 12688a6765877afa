"""The folder of an index.

manifest.py  manifest.json, checked field by field   opening.py  what a folder holds, as an index
identity.py  which file, which state of a folder     reading.py  an open folder: files of one state
folder.py    writing a folder, all or nothing        saving.py   which arrays a folder holds
stream.py    arrays written block by block           texts.py    docs.sqlite
origin.py    the folder an index was opened from     sniff.py    names other tools' files
parts.py     bytes by part of the folder
"""
