"""Writes a `Prediction` for a hospital's systems: DICOM objects and FHIR resources.

`dicom` imports highdicom and `fhir` fhir.resources: import them when first needed, not at start-up. The first DICOM
objects of a process take half a second longer than the next and leave 85 MB in memory, the first FHIR bundle takes
0.1 s longer (make install-size). Writing takes tenths of a second of pure Python: keep it off the event loop.
"""
