"""Reads request bodies and forms into the bytes of files."""
