"""Where results are sent: DICOMweb archives, FHIR servers, HL7 receivers, webhooks. C-STORE is in `app.dimse`."""
