"""One file per peer, run in an environment of its own (`make bench-peers`): one slice in, the network's answer out.

All read, cut and infer by `reading.Reader`, so that what differs is the serving. `roi` is fixed when they start.
"""
