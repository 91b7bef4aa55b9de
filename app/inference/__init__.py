"""Model bundles, the runtimes that run them, and `diagnose`, the use case."""
