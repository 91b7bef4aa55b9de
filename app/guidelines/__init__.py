"""Published rules for pulmonary nodules as pure functions: one file each, named after the guideline.

They say which row of a published table a measurement falls in, for a radiologist to read. They advise no patient.
"""
