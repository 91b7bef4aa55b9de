"""Attacks on the service by tools of the field, each in an environment of its own."""
