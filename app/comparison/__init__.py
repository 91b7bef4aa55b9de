"""Two scans of one patient: how they lie to each other, which nodules are the same, and how these have changed.

Pure functions on what was judged; no pixels, no network, no HTTP. What looks into the pixels again is passed in.
"""
