"""Lungscope: a REST inference microservice for lung CT."""

import os

__version__ = "0.2.0"

# Read when NumPy loads its linear algebra. Requests are spread over threads already: more threads inside each wait for
# one another by spinning, which took half of a series' time on two busy cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
