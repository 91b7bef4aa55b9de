"""The second look at what a search found: its training, from recipe to bundle (docs/detector.md)."""
