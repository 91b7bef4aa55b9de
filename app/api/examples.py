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
_SLICES: Final = [{"index": n, "sop_instance_uid": f"1.2.840.99999.1.{n}"} for n in (60, 61, 62)]
_DETECTOR: Final = {"name": "nodule-detector", "version": "1", "digest": "sha256:9a04"}
SERIES: Final[dict[str, Any]] = {
    **SUSPECTED,
    "findings": [
        {**SUSPECTED["findings"][0], "detector_score": 6.3, "slice": _SLICES[1], "slices": _SLICES},
    ],
    "quality": [
        {
            "code": "study_level_not_validated",
            "severity": "warning",
            "message": "The decision for a whole slice or series is the noisy-or of its findings.",
        }
    ],
    "key_slices": [{**_SLICES[1], "findings": [1]}],
    "detector": _DETECTOR,
    "source": {
        **_SOURCE,
        "series": {
            "series_instance_uid": "1.2.840.99999.1",
            "study_instance_uid": "1.2.840.99999",
            "slices": 128,
            "slice_spacing_mm": 2.5,
        },
    },
    "timing_ms": {
        "decode": 900.0, "lungs": 500.0, "candidates": 1400.0, "detect": 1900.0, "judge": 600.0, "total": 6100.0
    },
}  # fmt: skip
STUDY_ANSWERS: Final[dict[str, Any]] = {
    "examples": {"suspected": {"summary": "A nodule is found and judged", "value": SERIES}}
}
STUDY_EVENTS: Final[dict[str, Any]] = {
    "schema": {"type": "string", "description": "One JSON object a line, told apart by `event`."},
    "example": '{"event": "progress", "stage": "lungs", "done": 37, "of": 128}\n'
    '{"event": "result", "decision": "normal"}\n',
}
PREDICT_ANSWERS: Final[dict[str, Any]] = {
    "examples": {
        "suspected": {"summary": "A nodule is judged", "value": SUSPECTED},
        "rejected": {"summary": "A slice without lung is not judged", "value": REJECTED},
    }
}
