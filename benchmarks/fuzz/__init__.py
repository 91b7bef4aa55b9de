"""Mutants of what a client may send, made from a seed alone, and what the service must do with each."""
