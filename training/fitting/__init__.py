"""From a data set to weights: configuration, samples, network, the loop and what it leaves on disk."""
