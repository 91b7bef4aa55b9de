"""One finished result, as it is kept, found and delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ObjectKind = Literal["dicom", "fhir"]


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One finished result: a DICOM file, or a FHIR bundle. `attributes` is the data set without its pixels as DICOM
    JSON (PS3.18 F), `{}` for what is no DICOM; `uid` is the same whenever the same series is judged again."""

    uid: str
    kind: ObjectKind
    study_uid: str
    series_uid: str
    attributes: str
    content: bytes
