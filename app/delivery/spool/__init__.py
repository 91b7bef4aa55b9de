"""Series that wait to be judged, are being judged, are kept for late instances, or are set apart: one folder of all
workers."""
