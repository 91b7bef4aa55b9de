"""The candidate filter, from its samples to its bundle."""
