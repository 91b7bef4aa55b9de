"""Static files that the service shows: the phantom slice to try it with."""
