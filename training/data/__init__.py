"""Labelled CT as typed objects, whatever it was read from, and splits that keep patients apart."""
