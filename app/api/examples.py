"""Answers shown on the docs pages, kept true by a test that validates them against the schema."""

from __future__ import annotations

from typing import Any, Final

_MODEL: Final = {"name": "nodule-classifier", "version": "1", "digest": "sha256:5c1e"}
_SOURCE: Final = {"kind": "dicom", "rows": 512, "columns": 512, "frame": None, "pixel_spacing_mm": [0.742, 0.742]}
_REQUEST_ID: Final = "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11"
_DISCLAIMER: Final = "Research use only. Not a medical device."

SUSPECTED: Final[dict[str, Any]] = {
    "request_id": _REQUEST_ID,
    "decision": "cancer_suspected",
    "display": "Lung cancer suspected",
    "probability": 0.87,
    "operating_point": 0.42,
    "prediction_set": ["cancer_suspected"],
    "findings": [
        {
            "id": 1,
            "center_px": [312.0, 201.5],
            "center_mm": [-61.3, 12.8, -140.0],
            "nodule_probability": 0.99,
            "probability": 0.87,
            "diameter_mm": 14.2,
            "traits": {"spiculation": {"value": 4.1, "scale": [1, 5], "display": "considerable"}},
            "outline_px": [[305.1, 196.0], [306.4, 195.2], [318.9, 204.7]],
        }
    ],
    "reasons": [],
    "quality": [],
    "model": _MODEL,
    "source": _SOURCE,
    "timing_ms": {"decode": 1.4, "search": 0.0, "infer": 2.8, "total": 6.1},
    "disclaimer": _DISCLAIMER,
}
REJECTED: Final[dict[str, Any]] = {
    **SUSPECTED,
    "decision": "rejected",
    "display": "Not judged",
    "probability": None,
    "prediction_set": [],
    "findings": [],
    "reasons": ["no_lung"],
    "quality": [{"code": "no_lung", "severity": "error", "message": "0.0 cm² of lung were found."}],
}
PREDICT_ANSWERS: Final[dict[str, Any]] = {
    "examples": {
        "suspected": {"summary": "A nodule is judged", "value": SUSPECTED},
        "rejected": {"summary": "A slice without lung is not judged", "value": REJECTED},
    }
}
