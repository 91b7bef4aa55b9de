"""How DICOM objects refer to a slice."""

from __future__ import annotations

from pydicom.uid import CTImageStorage

from app.imaging.ct import SliceSource


def address(source: SliceSource) -> tuple[str, str, list[int] | None]:
    """SOP class, SOP instance and, for one of several frames, its number."""
    frames = None if source.frame is None else [source.frame]
    return source.sop_class_uid or CTImageStorage, source.sop_instance_uid or "", frames
