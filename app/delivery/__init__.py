"""What comes in to be judged later and what leaves on its own: spool, result store, outbox, and their clients.

All state is in one folder that every worker process shares. Files change hands by atomic renames and kernel locks,
which a killed process loses; finished results are in an SQLite database.
"""
