"""Generated chest CT and its files: every format the service reads, written here so that no test needs a patient."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from app.imaging.options import Window

Hu = NDArray[np.int16]
Stored = NDArray[np.uint16] | NDArray[np.uint8]

AIR_HU = -1000
BODY_HU = 40
LUNG_HU = -850
BONE_HU = 600
NOISE_HU = 12.0
EDGE_MM = 0.4  # a border as soft as a reconstruction kernel makes it

SECRET_NAME = "Secret^Name"
SECRET_ID = "SECRET-4711"
WINDOW_16_BIT = Window(1024, 4096)
WINDOW_8_BIT = Window(-300, 1400)


@dataclass(frozen=True, slots=True)
class Disc:
    """A sphere cut through its middle, at a (column, row) pixel."""

    centre_px: tuple[float, float]
    diameter_mm: float
    hu: float = 30.0


CENTRAL_NODULE = Disc((74.0, 120.0), 14.0)


def ribs(every_deg: int = 20) -> tuple[Disc, ...]:
    """Sections of ribs around both lungs of `chest` at its defaults, which has but one."""
    angles = np.radians(np.arange(-60, 61, every_deg))
    across, down = 72 + 62 * np.cos(angles), -5 + 85 * np.sin(angles)
    places = [(side * x, y) for side in (-1, 1) for x, y in zip(across.tolist(), down.tolist(), strict=True)]
    return tuple(Disc((127.5 + x / 1.4, 127.5 + y / 1.4), 7.0, BONE_HU) for x, y in places)


def chest(
    discs: Sequence[Disc] = (CENTRAL_NODULE,), *, size_px: int = 256, spacing_mm: float = 1.4, seed: int = 7
) -> Hu:
    """An axial slice of 358 mm at the defaults: body, two lungs, trachea, spine and a rib on the left of the image."""
    columns_px, rows_px = np.meshgrid(np.arange(size_px), np.arange(size_px))
    middle = (size_px - 1) / 2
    x, y = (columns_px - middle) * spacing_mm, (rows_px - middle) * spacing_mm
    hu = np.full(x.shape, float(AIR_HU))

    def paint(centre_mm: tuple[float, float], semi_axes_mm: tuple[float, float], value: float) -> None:
        radius = np.hypot((x - centre_mm[0]) / semi_axes_mm[0], (y - centre_mm[1]) / semi_axes_mm[1])
        depth_mm = np.clip((1 - radius) * min(semi_axes_mm), -20, 20)
        inside = 1 / (1 + np.exp(-depth_mm / EDGE_MM))
        hu[...] += (value - hu) * inside

    paint((0, 0), (155, 105), BODY_HU)
    for side in (-1, 1):
        paint((72 * side, -5), (55, 78), LUNG_HU)
    paint((0, -30), (9, 9), AIR_HU)
    paint((0, 72), (18, 18), BONE_HU)
    paint((-135, 0), (5, 14), BONE_HU)
    for disc in discs:
        column, row = ((at - middle) * spacing_mm for at in disc.centre_px)
        paint((column, row), (disc.diameter_mm / 2, disc.diameter_mm / 2), disc.hu)
    # None outside the body: scanners show some there, but it would be most of a compressed file.
    noise = np.random.default_rng(seed).normal(0, NOISE_HU, hu.shape) * (np.hypot(x / 155, y / 105) < 1)
    return np.clip(np.round(hu + noise), -1024, 3071).astype(np.int16)


def water(size_px: int = 256, spacing_mm: float = 1.4) -> Hu:
    """A round bottle of water in air: a valid CT slice without lung."""
    along = (np.arange(size_px) - (size_px - 1) / 2) * spacing_mm
    return np.where(np.hypot(along[:, None], along) < 100, 0, AIR_HU).astype(np.int16)


def small(seed: int = 7) -> Hu:
    """48 x 48 pixels with every kind of tissue, for tests that need a file rather than an image."""
    return chest([Disc((12.0, 24.0), 40.0)], size_px=48, spacing_mm=7.5, seed=seed)


def derived_uid(name: str) -> str:
    """A valid UID (PS3.5 B.2) that is the same on every run and belongs to nobody."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'lungscope:{name}').int}"


def _rle(values: Stored) -> bytes:
    """PS3.5 Annex G: a PackBits segment for each byte of a value, most significant first, after their offsets."""
    planes = values.astype(values.dtype.newbyteorder(">")).reshape(-1, 1).view(np.uint8).T
    segments = [bytes(imagecodecs.packbits_encode(plane.tobytes())) for plane in planes]
    segments = [segment + b"\x80" * (len(segment) % 2) for segment in segments]
    offsets = [64 + sum(map(len, segments[:n])) for n in range(len(segments))]
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


def _jpeg_ls(values: Stored) -> bytes:
    return bytes(imagecodecs.jpegls_encode(values))


def _jpeg_2000(values: Stored) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True))


def _htj2k(values: Stored) -> bytes:
    return bytes(imagecodecs.htj2k_encode(values))


def _jpeg_lossless(values: Stored) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(values))


ENCODERS: Final[dict[UID, Callable[[Stored], bytes]]] = {
    RLELossless: _rle,
    JPEGLSLossless: _jpeg_ls,
    JPEG2000Lossless: _jpeg_2000,
    JPEG2000: _jpeg_2000,
    HTJ2KLossless: _htj2k,
    HTJ2KLosslessRPCL: _htj2k,
    HTJ2K: _htj2k,
    JPEGLossless: _jpeg_lossless,
    JPEGLosslessSV1: _jpeg_lossless,
}
NATIVE: Final = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
LOSSLESS_SYNTAXES: Final = (*NATIVE, *ENCODERS)


@dataclass(frozen=True, slots=True)
class PixelCoding:
    """How HU become stored values: HU = stored x slope + intercept, in `bits_stored` bits."""

    signed: bool = False
    bits_stored: int = 16
    slope: float = 1.0
    intercept: float = -1024.0
    transfer_syntax: UID = ExplicitVRLittleEndian

    def store(self, hu: Hu) -> Stored:
        """Stored values as the unsigned integers that hold their bits."""
        values = np.round((hu.astype(np.float64) - self.intercept) / self.slope).astype(np.int64)
        bits = values & ((1 << self.bits_stored) - 1)
        return bits.astype(np.uint16) if self.bits_stored > 8 else bits.astype(np.uint8)


PLAIN = PixelCoding()


def dicom(hu: Hu, coding: PixelCoding = PLAIN, *, spacing_mm: float = 1.4, **attributes: Any) -> bytes:
    """A CT Image Storage file; `attributes` replace those it would have; None removes one, an element sets its VR."""
    dataset = _described([coding.store(hu)], coding)
    dataset.SOPClassUID = CTImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PixelSpacing = [spacing_mm, spacing_mm]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-178.5, -178.5, -140.0]
    dataset.SliceThickness = 2.5
    dataset.RescaleSlope, dataset.RescaleIntercept = coding.slope, coding.intercept
    return file_bytes(_amended(dataset, attributes), coding.transfer_syntax)


def enhanced_dicom(
    frames: Sequence[Hu],
    coding: PixelCoding = PLAIN,
    *,
    shared: Sequence[Dataset] = (),
    per_frame: Sequence[Dataset] = (),
    **attributes: Any,
) -> bytes:
    """An Enhanced CT file: the macros of `shared` in one item, `per_frame` one item for each frame (C.7.6.16)."""
    dataset = _described([coding.store(hu) for hu in frames], coding)
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.NumberOfFrames = len(frames)
    together = Dataset()
    for macro in shared:
        together.update(macro)
    dataset.SharedFunctionalGroupsSequence = [together]
    if per_frame:
        dataset.PerFrameFunctionalGroupsSequence = list(per_frame)
    return file_bytes(_amended(dataset, attributes), coding.transfer_syntax)


def functional_group(macro: str, **attributes: Any) -> Dataset:
    """One functional group macro: its sequence with one item."""
    item, group = Dataset(), Dataset()
    setattr(group, macro, [_amended(item, attributes)])
    return group


def file_bytes(dataset: Dataset, transfer_syntax: UID) -> bytes:
    """The data set as a DICOM file (PS3.10), the same bytes on every run."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", derived_uid("instance"))
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = UID(derived_uid("implementation"))
    meta.ImplementationVersionName = "LUNGSCOPE_TEST"
    dataset.file_meta = meta
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def relabelled(data: bytes, transfer_syntax: str) -> bytes:
    """The same bytes under another transfer syntax, which pydicom need not know."""

    def element(uid: str) -> bytes:
        value = uid.encode() + b"\0" * (len(uid) % 2)
        return b"\x02\x00\x10\x00UI" + struct.pack("<H", len(value)) + value

    old, new = element(dcmread(BytesIO(data)).file_meta.TransferSyntaxUID), element(transfer_syntax)
    (group_length,) = struct.unpack_from("<L", data, 140)
    longer = struct.pack("<L", group_length + len(new) - len(old))
    return data[:140] + longer + data[144:].replace(old, new, 1)


def _described(frames: list[Stored], coding: PixelCoding) -> Dataset:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID = SECRET_NAME, SECRET_ID
    dataset.SOPInstanceUID = derived_uid("instance")
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = derived_uid("series"), derived_uid("study")
    dataset.FrameOfReferenceUID = derived_uid("frame of reference")
    dataset.Modality, dataset.Manufacturer = "CT", "Phantom"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = frames[0].shape
    dataset.BitsAllocated = frames[0].dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = coding.bits_stored, coding.bits_stored - 1
    dataset.PixelRepresentation = int(coding.signed)
    encode = ENCODERS.get(coding.transfer_syntax)
    if encode is None:
        native = [f.byteswap() if coding.transfer_syntax == ExplicitVRBigEndian else f for f in frames]
        dataset.PixelData = b"".join(f.tobytes() for f in native)
    else:
        dataset.PixelData = encapsulate([encode(frame) for frame in frames])
        dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB" if encode is not None else "OW"
    return dataset


def _amended(dataset: Dataset, attributes: dict[str, Any]) -> Dataset:
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        elif isinstance(value, DataElement):
            dataset.add(value)
        else:
            setattr(dataset, keyword, value)
    return dataset


def windowed(hu: Hu, window: Window, bits: Literal[8, 16]) -> Stored:
    """Grey values of the window: 0 at its low end, the type's maximum at its high end."""
    vmax = (1 << bits) - 1
    values = np.clip(np.round((hu - window.low_hu) / window.width_hu * vmax), 0, vmax)
    return values.astype(np.uint16) if bits == 16 else values.astype(np.uint8)


def picture(
    values: NDArray[Any] | Sequence[NDArray[Any]], kind: Literal["PNG", "JPEG", "TIFF"] = "PNG", **options: Any
) -> bytes:
    """A picture file of one array as it is, or a multi-page TIFF of several; `options` go to Pillow."""
    first, *others = [Image.fromarray(v) for v in ([values] if isinstance(values, np.ndarray) else values)]
    if others:
        options |= {"save_all": True, "append_images": others}
    out = BytesIO()
    first.save(out, kind, **options)
    return out.getvalue()


EXAMPLE_NODULE = Disc((148.0, 240.0), 14.0)
EXAMPLE_VESSELS = tuple(
    Disc((256 + side * column, row), diameter, 20.0)
    for side in (-1, 1)
    for column, row, diameter in (
        (60, 190, 5),
        (75, 235, 4),
        (68, 285, 5),
        (105, 165, 3),
        (130, 300, 3),
        (150, 205, 2.5),
    )
)


def example_slice() -> bytes:
    """The slice behind the examples of the documentation: no patient, one nodule at EXAMPLE_NODULE."""
    hu = chest([*EXAMPLE_VESSELS, EXAMPLE_NODULE], size_px=512, spacing_mm=0.7)
    coding = PixelCoding(bits_stored=16, transfer_syntax=JPEGLSLossless)
    return dicom(hu, coding, spacing_mm=0.7, PatientName="Phantom^Chest", PatientID="PHANTOM")
