"""What works on its own: series come in, are judged when they are complete, and their results are sent.

`spool` is where series wait, `database` where results and what became of each series are, `destinations` where results
go, `fetching` and `worklist` what else brings series. All state is in one folder that all workers share, or beside it
on a PostgreSQL server. A worker takes a file over by an atomic rename, and holds it by a kernel lock, which a killed
process loses.
"""
