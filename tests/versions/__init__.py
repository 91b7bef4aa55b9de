"""Versions moved while the service runs."""
