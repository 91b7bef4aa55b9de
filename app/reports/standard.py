"""highdicom's table of the standard, cut to the objects that are read and written here."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Final

from highdicom import _standard_utils as standard  # it has no public way to the tables it keeps
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from app.imaging.dicom import CT_SOP_CLASSES
from app.inference.freed import give_back_freed

OWN: Final[tuple[UID, ...]] = (
    *CT_SOP_CLASSES,
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
_cutting: Final = Lock()


def cut_to_own_objects() -> None:
    """Once in a process: of all attributes of all modules, 68 MB as highdicom keeps them, a seventh remains.

    Call it before the first object is written; highdicom looks up no module but those of the objects it handles.
    """
    with _cutting:
        _cut()


@cache
def _cut() -> None:
    attributes, modules = standard.get_module_attribute_map(), standard.get_iod_module_map()
    names = standard.get_sop_class_iod_map()
    needed = {module["key"] for sop_class in OWN for module in modules[names[sop_class]]}
    for name in attributes.keys() - needed:
        del attributes[name]
    give_back_freed()
