"""The requests behind the answers of the docs pages, which offer the files that are sent."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

WEB: Final = Path(__file__).resolve().parents[2] / "app" / "web"
ANSWERS_FILE: Final = WEB / "examples.json"
REQUEST_ID: Final = "0b9c5f0e-3a43-4c8e-8a55-3f7c0a1f6c11"


@dataclass(frozen=True, slots=True)
class Request:
    """A file of the docs pages and where it is posted, or without one what is asked for."""

    path: str
    file: str | None = None

    def answer(self, origin: str) -> dict[str, Any]:
        """What a service says."""
        is_text = self.file is not None and self.file.endswith(".txt")
        content_type = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
        headers = {"Content-Type": content_type, "X-Request-ID": REQUEST_ID}
        body = None if self.file is None else (WEB / self.file).read_bytes()
        request = urllib.request.Request(origin + self.path, body, headers)
        with urllib.request.urlopen(request) as response:
            said: dict[str, Any] = json.load(response)
            return said


REQUESTS: Final = {
    "suspected": Request("/v1/predict?roi=148,240", "example-slice.dcm"),
    "rejected": Request("/v1/predict?roi=250,250", "example-slice.dcm"),
    "series": Request("/v1/studies", "example-series.zip"),
    "report": Request("/v1/reports", "example-report.en.txt"),
    "models": Request("/v1/models"),
    "model": Request("/v1/models/nodule-classifier"),
}
