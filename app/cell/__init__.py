"""Decodes compressed pixels, pictures and archives in processes of their own (docs/decisions/0025).

Each is a cell: it has limits of memory and time, opens no file and no connection, and is replaced when it ends. In the
service are `cells` (the pool), `cell` (one of it) and `template` (the process that cells are forked from); in the
template and its cells run `process`, `confinement` and `work`; both write and read `messages`.
"""
