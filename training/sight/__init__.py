"""The network that tells axial slices of a chest from every other picture."""
