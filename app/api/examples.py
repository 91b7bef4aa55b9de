"""The example answers on the docs pages: the shipped service's answers to the files that the pages offer.

`scripts/make_examples.py` asks the service and writes them; a test asks again and compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from app import web
from app.api.events import line, progress_line

_WEB: Final = Path(web.__file__).parent
_ANSWERS: Final[dict[str, Any]] = json.loads((_WEB / "examples.json").read_text("utf-8"))
SUSPECTED: Final[dict[str, Any]] = _ANSWERS["suspected"]
REJECTED: Final[dict[str, Any]] = _ANSWERS["rejected"]
SERIES: Final[dict[str, Any]] = _ANSWERS["series"]

PREDICT_ANSWERS: Final[dict[str, Any]] = {
    "examples": {
        "suspected": {"summary": "A nodule is judged", "description": "The phantom, roi 148,240", "value": SUSPECTED},
        "rejected": {"summary": "No nodule is there", "description": "The phantom, roi 250,250", "value": REJECTED},
    }
}
STUDY_ANSWERS: Final[dict[str, Any]] = {"examples": {"suspected": {"summary": "A nodule is found", "value": SERIES}}}
STUDY_EVENTS: Final[dict[str, Any]] = {
    "schema": {"type": "string", "description": "One JSON object a line, told apart by `event`."},
    "example": (progress_line("lungs", 7, 16) + line("result", SERIES)).decode(),
}
REPORT_LANGUAGES: Final = {"en": "English", "ja": "Japanese", "zh": "Chinese"}
REPORT_TEXTS: Final[dict[str, Any]] = {
    code: {"summary": name, "value": (_WEB / f"example-report.{code}.txt").read_text("utf-8")}
    for code, name in REPORT_LANGUAGES.items()
}
REPORT_ANSWERS: Final[dict[str, Any]] = {
    "examples": {"en": {"summary": "The English report", "value": _ANSWERS.get("report")}}
}
MODELS: Final[dict[str, Any]] = {"example": _ANSWERS["models"]}
MODEL: Final[dict[str, Any]] = {"example": _ANSWERS["model"]}
