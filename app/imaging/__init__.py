"""Bytes to CT slices in Hounsfield units with their geometry; quality checks, lungs, candidates and patches."""
