"""Timings and measured behaviour, as ratios from one run; none of it is imported by the service."""
