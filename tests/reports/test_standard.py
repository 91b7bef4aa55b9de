"""What is left of highdicom's table of the standard: all that it is asked about our objects, and little else."""

from __future__ import annotations

import pytest
from highdicom import _standard_utils as standard
from pydicom.uid import UID, CTImageStorage, MRImageStorage, SegmentationStorage

from app.reports.standard import OWN, cut_to_own_objects

Attributes = dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def whole() -> Attributes:
    """The table as it comes."""
    table: Attributes = standard.get_module_attribute_map.__wrapped__()
    return table


def attributes_of(sop_class: UID, table: Attributes) -> list[list[dict[str, object]]]:
    modules = standard.get_iod_module_map()[standard.get_sop_class_iod_map()[sop_class]]
    return [table[module["key"]] for module in modules]


@pytest.mark.parametrize("sop_class", OWN, ids=lambda each: each.name)
def test_own_objects_keep_every_attribute(sop_class: UID, whole: Attributes) -> None:
    cut_to_own_objects()
    assert attributes_of(sop_class, standard.get_module_attribute_map()) == attributes_of(sop_class, whole)


def test_what_is_left_is_a_small_part(whole: Attributes) -> None:
    cut_to_own_objects()
    left = standard.get_module_attribute_map()
    assert sum(map(len, left.values())) < sum(map(len, whole.values())) / 5
    with pytest.raises(KeyError):
        attributes_of(MRImageStorage, left)


def test_highdicom_still_answers_from_it() -> None:
    cut_to_own_objects()
    assert standard.is_attribute_in_iod("SegmentSequence", SegmentationStorage)
    assert not standard.is_attribute_in_iod("SegmentSequence", CTImageStorage)
    assert standard.does_iod_have_pixel_data(CTImageStorage)
