"""The series that are sent: small phantoms, each a study of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from phantoms.archive import SHOWN, archived_slice

SLICES: Final = len(SHOWN)


@dataclass(frozen=True)
class Series:
    """The series of a number: eight slices of 128 x 128 pixels."""

    number: int

    @cached_property
    def files(self) -> list[bytes]:
        """Its slices as DICOM files."""
        return [archived_slice(self.number, index) for index in SHOWN]

    @cached_property
    def instances(self) -> list[Dataset]:
        """The same, read."""
        return [dcmread(BytesIO(data)) for data in self.files]

    @cached_property
    def uid(self) -> str:
        """Its Series Instance UID."""
        return str(self.instances[0].SeriesInstanceUID)

    @cached_property
    def study_uid(self) -> str:
        """The Study Instance UID."""
        return str(self.instances[0].StudyInstanceUID)

    @cached_property
    def instance_uids(self) -> frozenset[str]:
        """The SOP Instance UIDs of its slices."""
        return frozenset(str(each.SOPInstanceUID) for each in self.instances)
