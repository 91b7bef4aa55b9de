"""The bodies that are sent: one CT slice as DICOM and as PNG, each raw and as a form."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.uid import ExplicitVRLittleEndian

from app.imaging.codecs import FrameShape, decode_frame
from app.imaging.options import ReadOptions
from app.imaging.read import read_slice

EXAMPLE: Final = (Path(__file__).resolve().parents[2] / "app" / "web" / "example-slice.dcm", (148.0, 240.0))
REAL: Final = (Path("series/lidc-0012/1-065.dcm"), (386.0, 295.0))  # a nodule's centre by its four readers
BOUNDARY: Final = "lungscope-benchmark"
PICTURE_WINDOW: Final = (1024, 4096)  # center, width in HU: all of a CT's range in 16 bits
FULL_SCALE: Final = 65535
NEEDS_NO_DECODER: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted, and how: `path` holds the query."""

    data: bytes
    content_type: str
    path: str
    headers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of the data."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice's DICOM file and the (column, row) of what is judged on it."""

    name: str
    dicom: bytes
    roi_px: tuple[float, float]

    @property
    def roi(self) -> str:
        """As the service takes it."""
        return ",".join(f"{value:g}" for value in self.roi_px)


def load_slice(path: Path, roi_px: tuple[float, float]) -> Slice:
    """The slice in `path`, compressed pixels rewritten as native ones: every peer reads those, without plugins."""
    data = path.read_bytes()
    dataset = pydicom.dcmread(io.BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in NEEDS_NO_DECODER:
        return Slice(path.name, data, roi_px)
    shape = FrameShape(dataset.Rows, dataset.Columns, dataset.BitsAllocated)
    dataset.PixelData = decode_frame(syntax, get_frame(dataset.PixelData, 0, number_of_frames=1), shape).tobytes()
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return Slice(f"{path.name}, its pixels uncompressed", written.getvalue(), roi_px)


def bodies(ct_slice: Slice, explain: bool = False) -> dict[str, Body]:
    """What is posted to the service, by name."""
    read = read_slice(ct_slice.dicom, ReadOptions())
    center, width = PICTURE_WINDOW
    grey = np.rint((read.hu - (center - width / 2)) / width * FULL_SCALE).clip(0, FULL_SCALE).astype(np.uint16)
    png = cv2.imencode(".png", grey)[1].tobytes()
    fields = {"roi": ct_slice.roi} | ({"explain": "true"} if explain else {})
    of_picture = fields | {
        "window": f"{center},{width}",
        "pixel_spacing_mm": ",".join(f"{mm:g}" for mm in read.spacing_mm),
    }
    return {
        "dicom, raw": raw(ct_slice.dicom, "application/dicom", fields),
        "dicom, form": form(ct_slice.dicom, fields),
        "png, raw": raw(png, "image/png", of_picture),
        "png, form": form(png, of_picture),
    }


def raw(data: bytes, content_type: str, fields: dict[str, str]) -> Body:
    """The data themselves, the parameters in the query."""
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return Body(data, content_type, f"/v1/predict?{query}")


def form(data: bytes, fields: dict[str, str], path: str = "/v1/predict") -> Body:
    """A multipart form with the file first, as a browser writes it."""
    parts = [_part('name="file"; filename="slice"\r\nContent-Type: application/octet-stream', data)]
    parts += [_part(f'name="{name}"', value.encode()) for name, value in fields.items()]
    data = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return Body(data, f"multipart/form-data; boundary={BOUNDARY}", path)


def _part(disposition: str, data: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + data + b"\r\n"
