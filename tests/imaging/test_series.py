"""Files of a series to a volume: order, geometry, what is left out and what is refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.uid import UID, MRImageStorage, RLELossless, SegmentationStorage

from app.errors import (
    ConflictingInstances,
    DuplicatePosition,
    InputError,
    LocalizerImage,
    MalformedDicom,
    MixedGeometry,
    MixedSeries,
    NoCtSlices,
    NoPixelData,
    NoPixelSpacing,
    NoSlicePosition,
    NotHounsfield,
    SeriesTooLarge,
    UnsupportedMediaType,
    UnsupportedPixelFormat,
    UnsupportedTransferSyntax,
)
from app.imaging.options import ReadOptions
from app.imaging.pixel_stack import SeriesLimits
from app.imaging.read import quiet_decoders, read_slice
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from phantoms.slices import (
    NATIVE,
    SECRET_ID,
    PixelCoding,
    derived_uid,
    dicom,
    functional_group,
    picture,
    relabelled,
    small,
)
from tests.imaging.refusals import assert_explains
from tests.imaging.series_files import (
    LOWEST_MM,
    SIZE_PX,
    SPACING_MM,
    STEP_MM,
    built,
    enhanced_file,
    refused,
    series_files,
    slice_file,
    slice_hu,
)
from tests.imaging.test_damaged_files import changes, damaged

SCOUT: Final = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
SAGITTAL_SCOUT: Final = slice_file(
    90, ImageType=SCOUT, SeriesInstanceUID=derived_uid("scout"), ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
)
REPORT: Final = dicom(small(), SOPClassUID=SegmentationStorage)
bounded = settings(derandomize=True, deadline=None, max_examples=40)


def codes(volume: CTVolume) -> dict[str, str]:
    return {note.code: note.message for note in volume.notes}


def same(volume: CTVolume, other: CTVolume) -> bool:
    return (
        np.array_equal(volume.hu, other.hu)
        and (volume.positions_mm, volume.sources) == (other.positions_mm, other.sources)
        and volume.spacing_mm == other.spacing_mm
    )


class TestVolume:
    def test_slices_ascend_along_the_normal_whatever_their_order_and_number(self) -> None:
        files = [slice_file(index, InstanceNumber=(index * 7) % 5) for index in (3, 0, 4, 1, 2)]
        volume = built(files)
        assert np.array_equal(volume.hu, np.stack([slice_hu(index) for index in range(5)]))
        assert volume.spacing_mm == (STEP_MM, SPACING_MM, SPACING_MM)
        assert [position[2] for position in volume.positions_mm] == [LOWEST_MM + STEP_MM * n for n in range(5)]
        assert [source.sop_instance_uid for source in volume.sources] == [derived_uid(f"slice {n}") for n in range(5)]
        assert volume.hu.dtype == np.int16
        assert not volume.hu.flags.writeable
        assert volume.notes == ()

    @bounded
    @given(order=st.permutations(range(9)))
    def test_any_permutation_gives_the_same_volume(self, order: list[int]) -> None:
        files = series_files(9)
        assert same(built([files[index] for index in order]), built(files))

    def test_feet_first_and_negative_normals_run_the_other_way(self) -> None:
        upside_down = [slice_file(index, ImageOrientationPatient=[1, 0, 0, 0, -1, 0]) for index in range(5)]
        volume = built(upside_down)
        assert volume.orientation.normal[2] == -1
        assert np.array_equal(volume.hu[0], slice_hu(4))
        assert (np.diff(volume.heights_mm) > 0).all()

    def test_each_slice_is_what_reading_its_file_gives(self) -> None:
        for index, data in enumerate(files := series_files()):
            one, other = built(files).slice_at(index), read_slice(data)
            assert np.array_equal(one.hu, other.hu)
            assert (one.spacing_mm, one.position_mm) == (other.spacing_mm, other.position_mm)
            assert one.source == other.source

    def test_values_are_rounded_and_clipped(self) -> None:
        files = [slice_file(index, RescaleSlope=30.3, RescaleIntercept=-20000.4) for index in range(3)]
        expected = np.rint(np.clip(read_slice(files[1]).hu, -32768, 32767))
        assert np.array_equal(built(files).hu[1], expected)
        assert expected.max() == 32767
        assert expected.min() < -19000

    def test_what_had_to_be_assumed_is_noted_once(self) -> None:
        volume = built(series_files(RescaleType="US", SliceThickness=7.0))
        assert [note.code for note in volume.notes] == ["hounsfield_assumed", "thick_slice"]

    def test_a_frame_of_reference_for_every_slice_is_remarked(self) -> None:
        files = [slice_file(n, FrameOfReferenceUID=derived_uid(f"frame {n}")) for n in range(6)]
        volume = built(files)
        assert [(note.code, note.severity) for note in volume.notes] == [("frames_of_reference_differ", "warning")]
        assert np.array_equal(volume.hu, built(series_files()).hu)

    def test_memoryviews_and_compressed_files_are_read(self) -> None:
        compressed = [slice_file(index, coding=PixelCoding(transfer_syntax=RLELossless)) for index in range(4)]
        builder = SeriesBuilder()
        for data in compressed:
            builder.add(memoryview(data))
        assert len(builder) == 4
        assert same(builder.build(), built(series_files(4)))

    @pytest.mark.parametrize("syntax", [*NATIVE, RLELossless])
    def test_headers_are_kept_without_pixels(self, syntax: UID) -> None:
        files = [slice_file(index, coding=PixelCoding(transfer_syntax=syntax)) for index in range(3)]
        builder = SeriesBuilder(keep_headers=True)
        for data in files:
            builder.add(data)
        volume = builder.build()
        (header,) = builder.headers([volume.sources[1].sop_instance_uid, "1.2.3"])
        assert header == dcmread(BytesIO(files[1]), stop_before_pixels=True)
        assert header.PatientID == SECRET_ID
        assert "PixelData" not in header

    def test_headers_are_dropped_unless_they_are_asked_for(self) -> None:
        builder = SeriesBuilder()
        builder.add(slice_file(0))
        assert builder.headers([derived_uid("slice 0")]) == []

    def test_a_spacing_that_the_caller_states_is_used(self) -> None:
        files = series_files(4, PixelSpacing=None)
        refused(files, NoPixelSpacing)
        builder = SeriesBuilder(options=ReadOptions(pixel_spacing_mm=(SPACING_MM, SPACING_MM)))
        for data in files:
            builder.add(data)
        assert [note.code for note in builder.build().notes] == ["spacing_stated"]


class TestEnhanced:
    def test_frames_are_slices(self) -> None:
        heights = [5.0, 0.0, 10.0, 2.5, 7.5]
        volume = built([enhanced_file(heights)])
        assert np.array_equal(volume.hu, np.stack([slice_hu(index) for index in (1, 3, 0, 4, 2)]))
        assert volume.spacing_mm == (2.5, SPACING_MM, SPACING_MM)
        assert [source.frame for source in volume.sources] == [2, 4, 1, 5, 3]

    def test_several_objects_make_one_volume(self) -> None:
        volume = built([enhanced_file([0, 4, 8], "even"), enhanced_file([2, 6, 10], "odd")])
        assert volume.spacing_mm[0] == 2
        assert np.array_equal(volume.hu, np.stack([slice_hu(n) for n in (0, 0, 1, 1, 2, 2)]))

    def test_it_equals_the_same_slices_in_files_of_their_own(self) -> None:
        heights = [LOWEST_MM + STEP_MM * index for index in range(6)]
        assert np.array_equal(built([enhanced_file(heights)]).hu, built(series_files()).hu)

    def test_time_points_at_the_same_places_are_refused(self) -> None:
        refused([enhanced_file([0, 2, 4, 0, 2, 4])], DuplicatePosition)

    def test_frames_without_a_place_are_refused(self) -> None:
        refused([enhanced_file([0, 2, 4], PerFrameFunctionalGroupsSequence=[])], NoSlicePosition)

    def test_the_same_object_twice_is_dropped(self) -> None:
        volume = built([enhanced_file([0, 2, 4])] * 2)
        assert len(volume) == 3
        assert codes(volume)["duplicates_dropped"].startswith("3 ")

    def test_localizer_frames_are_left_out(self) -> None:
        scout = functional_group("CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"])
        refused([enhanced_file([0, 2, 4], SharedFunctionalGroupsSequence=[scout])], LocalizerImage)


class TestLeftOut:
    @pytest.mark.parametrize("beside", [REPORT, b"read me", b"", picture(small().astype("u1"), "JPEG")])
    def test_other_files_are_counted(self, beside: bytes) -> None:
        volume = built([beside, *series_files(), beside])
        assert len(volume) == 6
        assert codes(volume) == {"files_left_out": "2 file(s) are no CT images and were left out."}

    @pytest.mark.parametrize(
        ("beside", "found"),
        [
            (slice_file(90)[:-100], MalformedDicom),
            (slice_file(90)[132:], MalformedDicom),
            (b"\x08\0 a note", MalformedDicom),
            (slice_file(90, PixelSpacing=[0, 0]), MalformedDicom),
            (slice_file(90, PixelData=None), NoPixelData),
            (slice_file(90, PhotometricInterpretation="RGB"), UnsupportedPixelFormat),
            (slice_file(90, RescaleSlope=None), NotHounsfield),
            (relabelled(slice_file(90), "1.2.840.10008.1.2.4.100"), UnsupportedTransferSyntax),
        ],
        ids=["cut", "no preamble", "begins as one", "spacing", "no pixels", "colour", "no scale", "transfer syntax"],
    )
    def test_a_file_that_cannot_be_read_is_left_out_where_the_others_are_whole(
        self, beside: bytes, found: type[InputError]
    ) -> None:
        files = series_files()
        for at in (0, 3, 6):
            volume = built([*files[:at], beside, *files[at:]])
            assert same(volume, built(files))
            assert codes(volume) == {"files_unreadable": "1 file(s) could not be read and were left out."}
        # Not where it leaves a gap, nor where nothing else is there.
        assert refused([*files[:2], beside, *files[3:]], found).endswith("in file 3")
        assert refused([beside, *files[:2]], found).endswith("in file 1")
        assert refused([beside], found).endswith("in file 1")

    def test_many_that_cannot_be_read_are_a_damaged_series(self) -> None:
        damaged = [slice_file(90 + n)[:-100] for n in range(3)]
        assert len(built([*series_files(8), *damaged[:2]])) == 8
        assert refused([*series_files(8), *damaged], MalformedDicom).endswith("in file 9")

    def test_a_damaged_frame_of_several_is_not_left_out(self) -> None:
        whole = enhanced_file([0, 2, 4, 6])
        assert refused([whole[:-100]], MalformedDicom).endswith("in file 1")

    def test_what_came_instead_is_named(self) -> None:
        niftis = [b"\0" * 344 + b"n+1\0" + b"\0" * 100]
        assert refused(niftis, UnsupportedMediaType) == "a NIfTI volume in file 1"
        assert refused(niftis * 2, NoCtSlices).endswith("a NIfTI volume in file 1")

    def test_objects_of_other_modalities_are_no_ct(self) -> None:
        others = [dicom(small(), SOPClassUID=MRImageStorage), dicom(small(), Modality="OT")]
        assert "2 file" in codes(built(others + series_files()))["files_left_out"]

    @pytest.mark.parametrize("series", ["scout", "series"])
    def test_localizers_beside_a_series(self, series: str) -> None:
        scout = slice_file(90, ImageType=SCOUT, SeriesInstanceUID=derived_uid(series))
        volume = built([scout, *series_files(), scout])
        assert len(volume) == 6
        assert codes(volume) == {"localizers_left_out": "2 localizer(s) were left out."}

    def test_the_same_file_twice(self) -> None:
        files = series_files()
        volume = built([*files, files[2], files[0]])
        assert same(volume, built(files))
        assert codes(volume) == {"duplicates_dropped": "2 slice(s) came more than once and were taken once."}

    def test_localizers_alone(self) -> None:
        assert refused([SAGITTAL_SCOUT, b"read me"], LocalizerImage) == "1 localizer(s) and no slices"

    @pytest.mark.parametrize(("files", "found"), [([], "no files"), ([REPORT, b"read me"], "2 file(s)")])
    def test_nothing(self, files: list[bytes], found: str) -> None:
        assert refused(files, NoCtSlices).startswith(found)


class TestRefusals:
    def test_mixed_series_are_counted_without_naming_them(self) -> None:
        others = [slice_file(n, SeriesInstanceUID=derived_uid("other")) for n in (70, 71)]
        assert refused([*series_files(), *others], MixedSeries) == "2 series, of 6, 2 files"

    def test_of_another_series_nothing_is_decoded(self) -> None:
        cut_short = slice_file(70, SeriesInstanceUID=derived_uid("other"), PixelData=b"\0\0")
        assert refused([*series_files(), cut_short], MixedSeries) == "2 series, of 6, 1 files"

    @pytest.mark.parametrize(
        ("attributes", "found"),
        [
            ({"PixelSpacing": [SPACING_MM, 1.49]}, "another pixel spacing"),
            ({"ImageOrientationPatient": [1, 0, 0, 0, 0.998, 0.0632]}, "another orientation"),
            ({"ImagePositionPatient": [-100, -110, LOWEST_MM + STEP_MM * 6]}, "a slice 20.0 mm beside the others"),
        ],
        ids=["spacing", "orientation", "beside"],
    )
    def test_mixed_geometry(self, attributes: dict[str, Any], found: str) -> None:
        assert refused([*series_files(), slice_file(6, **attributes)], MixedGeometry).startswith(found)

    def test_another_frame_of_reference_where_no_series_uid_holds_slices_together(self) -> None:
        absent: dict[str, Any] = {"SeriesInstanceUID": None}
        files = [*series_files(**absent), slice_file(6, FrameOfReferenceUID=derived_uid("elsewhere"), **absent)]
        assert refused(files, MixedGeometry).startswith("another frame of reference")

    def test_mixed_sizes_name_the_file_by_its_place(self) -> None:
        larger = dicom(small(), spacing_mm=SPACING_MM, SOPInstanceUID=derived_uid("larger"))
        found = refused([b"read me", *series_files(), larger], MixedGeometry)
        assert found == "another number of rows or columns than in the first slice in file 8"

    @pytest.mark.parametrize("other", [{"z_mm": 7.0}, {"RescaleIntercept": -1000}], ids=["place", "pixels"])
    def test_different_slices_under_one_uid(self, other: dict[str, Any]) -> None:
        assert refused([*series_files(), slice_file(3, **other)], ConflictingInstances).endswith("in file 7")

    @pytest.mark.parametrize("attribute", ["ImagePositionPatient", "ImageOrientationPatient"])
    def test_no_place(self, attribute: str) -> None:
        absent: dict[str, Any] = {attribute: None}
        files = [*series_files(2), slice_file(2, **absent)]
        assert refused(files, NoSlicePosition).endswith("in file 3")

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (slice_file(3)[:-100], MalformedDicom),
            (slice_file(3)[132:], MalformedDicom),
            (slice_file(3, z_mm=1e300), MalformedDicom),
            (slice_file(3, ImagePositionPatient=DataElement("ImagePositionPatient", "LO", "here")), MalformedDicom),
            (relabelled(slice_file(3), "1.2.840.10008.1.2.4.100"), UnsupportedTransferSyntax),
        ],
        ids=["cut", "no preamble", "far away", "position", "transfer syntax"],
    )
    def test_a_file_that_cannot_be_read_is_named_by_its_place(self, data: bytes, error: type[InputError]) -> None:
        assert refused([*series_files(2), data], error).endswith("in file 3")

    @pytest.mark.parametrize(
        "limits",
        [
            SeriesLimits(max_slices=5),
            SeriesLimits(max_pixel_bytes=6 * 2 * SIZE_PX * SIZE_PX - 1),
            SeriesLimits(max_files=5),
        ],
        ids=["slices", "bytes", "files"],
    )
    def test_bounds(self, limits: SeriesLimits) -> None:
        builder = SeriesBuilder(limits)
        for data in series_files(5):
            builder.add(data)
        with pytest.raises(SeriesTooLarge) as caught:
            builder.add(slice_file(5))
        assert_explains(caught.value)


@bounded
@given(which=st.integers(0, 5), damage=changes)
def test_a_damaged_file_gives_a_volume_or_an_error_of_ours(which: int, damage: list[tuple[int, str, bytes]]) -> None:
    quiet_decoders()
    files = series_files()
    files[which] = damaged(files[which], damage)
    assert_builds_or_explains(files)


@bounded
@given(damage=changes)
def test_a_damaged_multi_frame_file(damage: list[tuple[int, str, bytes]]) -> None:
    assert_builds_or_explains([damaged(enhanced_file([0, 2, 4, 6]), damage)])


def assert_builds_or_explains(files: list[bytes]) -> None:
    try:
        volume = built(files)
    except InputError as error:
        assert_explains(error)
        return
    assert (np.diff(volume.heights_mm) > 0).all()
