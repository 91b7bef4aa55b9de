"""Series fetched from a DICOMweb archive: for a job, a workitem, or since an outage."""
