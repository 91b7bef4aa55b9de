"""Series that wait to be judged, and results that wait to be sent: spool, result store, and the clients of
destinations.

All state is in one folder that all workers share. A worker takes a file over by an atomic rename, and holds it by a
kernel lock, which a killed process loses. Finished results are in an SQLite database.
"""
