"""DIMSE (PS3.7): series in by C-STORE, results out by C-STORE. Only this folder imports pynetdicom."""
