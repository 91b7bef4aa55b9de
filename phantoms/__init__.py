"""Generated scans with known content, for tests, benchmarks and examples. No patient."""
