"""The service measured against its own parts and against what a user would pick instead: `make bench`."""
