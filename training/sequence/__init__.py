"""The recurrent network over the slices of a nodule, from the stacks to its bundle (docs/sequence.md)."""
