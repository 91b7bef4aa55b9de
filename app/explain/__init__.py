"""Draws why: the evidence map, outline and diameter on the sent image, in its own geometry."""
