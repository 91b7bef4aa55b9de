"""Judges whole archives: what lies in them, by series; the processes that judge; the tables of what was said.

It runs on one machine, and goes on after it was killed. Several machines share an archive by a list of its folders.
"""
