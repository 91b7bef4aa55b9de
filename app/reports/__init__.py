"""Writes a `Prediction` for a hospital's systems: DICOM objects and FHIR resources.

`dicom` imports highdicom (0.7 s, 21 MB of memory) and `fhir` fhir.resources (0.9 s, 23 MB): import them when first
needed, not at start-up. Writing takes tenths of a second of pure Python: keep it off the event loop.
"""
