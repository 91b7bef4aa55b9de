"""A site's own table: DICOM and pictures in, nodules out, and errors that name the row and the column."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from phantoms.slices import WINDOW_16_BIT, chest, dicom, picture, windowed
from training.data.datasets import hold_out, read_dataset
from training.data.leaks import PatientLeak
from training.data.nodules import TRAIT_SCALES, Dataset, DatasetMalformed, DatasetMissing

PLACE = {"column": "74", "row": "120"}  # of the phantom's nodule
RATED = dict.fromkeys(TRAIT_SCALES, "3;4")


def write_table(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "nodules.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.dcm, the same slice as a 16-bit a.png and as a.npy, another patient's b.dcm, and a mask of a.dcm's nodule."""
    folder = tmp_path_factory.mktemp("images")
    for name, seed in (("a", 7), ("b", 8)):
        (folder / f"{name}.dcm").write_bytes(
            dicom(chest(seed=seed), SeriesInstanceUID=f"1.2.{seed}", SOPInstanceUID=f"1.2.{seed}.1")
        )
    (folder / "a.png").write_bytes(picture(windowed(chest(), WINDOW_16_BIT, 16)))
    y, x = np.mgrid[:256, :256]
    mask = (np.hypot(x - 74, y - 120) <= 5) | (np.hypot(x - 180, y - 120) <= 8)
    (folder / "mask.png").write_bytes(picture(mask.astype(np.uint8) * 255))
    np.save(folder / "a.npy", chest())
    np.save(folder / "stack.npy", np.stack([chest(seed=1), chest(seed=2)]))
    np.save(folder / "scaled.npy", (chest() + 1000).astype(np.float32) / 4000)
    np.save(folder / "mask.npy", mask)
    return folder


def read(folder: Path, images: Path, *rows: dict[str, str]) -> Dataset:
    """The rows, each with an image of `images`, completed to a valid table."""
    start = {"image": str(images / "a.dcm"), **PLACE, "patient": "P1"}
    answer = {} if any("malignancy" in row for row in rows) else {"label": "suspicious"}
    return read_dataset(write_table(folder, [start | answer | row for row in rows]))


def test_paths_are_relative_to_the_table(images: Path) -> None:
    path = write_table(images, [{"image": "a.dcm", **PLACE, "label": "benign", "patient": "P1"}])
    (nodule,) = read_dataset(path).nodules
    np.testing.assert_array_equal(nodule.hu, chest()[120 - 35 : 120 + 36, 74 - 35 : 74 + 36])
    assert (nodule.spacing_mm, nodule.point_px, nodule.patient) == (1.4, (74, 120), "P1")
    assert (nodule.series_uid, nodule.sop_uid, nodule.manufacturer) == ("1.2.7", "1.2.7.1", "Phantom")
    assert nodule.outline is None
    assert math.isnan(nodule.diameter_mm)
    assert not nodule.has_traits


@pytest.mark.parametrize(
    ("label", "malignancy"),
    [
        ("suspicious", (5,)),
        ("Benign", (1,)),
        ("1", (5,)),
        ("0", (1,)),
        ("4;5;3", (4, 5, 3)),
        ("1;1", (1, 1)),
        ("3", (3,)),
        ("Cancer", (5,)),
        ("malignant", (5,)),
        ("1.0", (5,)),
        ("normal", (1,)),
        ("良性", (1,)),
        ("0.0", (1,)),
        ("indeterminate", (3,)),
    ],
)
def test_labels(tmp_path: Path, images: Path, label: str, malignancy: tuple[int, ...]) -> None:
    (nodule,) = read(tmp_path, images, {"label": label}).nodules
    assert nodule.malignancy == malignancy


def test_a_column_of_ratings_holds_nothing_else(tmp_path: Path, images: Path) -> None:
    (nodule,) = read(tmp_path, images, {"malignancy": "1"}).nodules
    assert nodule.malignancy == (1,)


def test_numbers_that_could_mean_two_things_are_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(DatasetMalformed, match=r"'3' in row 3, column 'label'.*row 2 has '1'"):
        read(tmp_path, images, {"label": "1"}, {"label": "3"})


def test_optional_columns(tmp_path: Path, images: Path) -> None:
    row = {"outline": str(images / "mask.png"), "fold": "4", "malignancy": "2;4;4"}
    (nodule,) = read(tmp_path, images, row | RATED).nodules
    assert nodule.traits == (3.5,) * 7
    assert nodule.fold == 4
    assert nodule.outline is not None
    assert nodule.outline[35, 35]
    assert nodule.outline.sum() == 81  # the other nodule of the mask is not this one's
    assert nodule.diameter_mm == pytest.approx(2 * math.sqrt(81 / math.pi) * 1.4)
    (stated,) = read(tmp_path, images, row | {"diameter_mm": "13.5"} | RATED).nodules
    assert stated.diameter_mm == 13.5


def test_a_picture_with_its_scale_agrees_with_its_dicom(tmp_path: Path, images: Path) -> None:
    png = {"image": str(images / "a.png"), "pixel_spacing_mm": "1.4", "window": "1024;4096"}
    one, two = read(tmp_path, images, {"pixel_spacing_mm": "", "window": ""}, png).nodules
    assert np.abs(one.hu.astype(int) - two.hu).max() <= 1
    assert two.spacing_mm == 1.4
    assert two.series_uid == two.sop_uid == ""


def test_nodules_of_one_image_know_each_other(tmp_path: Path, images: Path) -> None:
    png = {"image": str(images / "a.png"), "pixel_spacing_mm": "1.4", "window": "1024;4096"}
    one, two = read(tmp_path, images, png, png | {"column": "180.4", "row": "99.5"}).nodules
    assert (one.neighbours_px, two.neighbours_px) == (((180, 100),), ((74, 120),))


def test_a_patch_at_the_edge_repeats_the_outermost_pixel(tmp_path: Path, images: Path) -> None:
    (nodule,) = read(tmp_path, images, {"column": "255", "row": "0"}).nodules
    hu = chest()
    assert nodule.hu[35, 35] == hu[0, 255]
    np.testing.assert_array_equal(nodule.hu[35:, 40], hu[:36, 255])


def test_an_array_of_hounsfield_units_agrees_with_its_dicom(tmp_path: Path, images: Path) -> None:
    array = {"image": str(images / "a.npy"), "pixel_spacing_mm": "1.4", "outline": str(images / "mask.npy")}
    one, two = read(tmp_path, images, {"outline": str(images / "mask.png")}, array).nodules
    np.testing.assert_array_equal(one.hu, two.hu)
    assert (two.spacing_mm, two.diameter_mm) == (one.spacing_mm, one.diameter_mm)


def test_a_stack_of_slices_needs_its_frame(tmp_path: Path, images: Path) -> None:
    stack = {"image": str(images / "stack.npy"), "pixel_spacing_mm": "1.4"}
    (nodule,) = read(tmp_path, images, stack | {"frame": "2"}).nodules
    np.testing.assert_array_equal(nodule.hu, chest(seed=2)[85:156, 39:110])
    for frame in ("", "3"):
        with pytest.raises(DatasetMalformed, match=r"row 2, column 'image'.*`frame` from 1 to 2"):
            read(tmp_path, images, stack | {"frame": frame})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "scaled.npy", "pixel_spacing_mm": "1.4"}, "no air.*Hounsfield units"),
        ({"image": "a.npy"}, "no pixel_spacing_mm beside an array"),
        ({"image": "a.npy", "pixel_spacing_mm": "1.4", "window": "1024;4096"}, "a window beside an array"),
    ],
)
def test_an_array_without_its_scale_is_refused(tmp_path: Path, images: Path, row: dict[str, str], message: str) -> None:
    with pytest.raises(DatasetMalformed, match=rf"{message}.*|row 2, column 'image'.*{message}"):
        read(tmp_path, images, row | {"image": str(images / row["image"])})


def test_columns_of_other_programs_are_left_out_with_a_remark(tmp_path: Path, images: Path) -> None:
    dataset = read(tmp_path, images, {"age": "61", "": "0", "sex": "F"})
    assert dataset.remarks == ("Columns that are not read: age, one without a name, sex.",)
    assert read(tmp_path, images, {}).remarks == ()


def test_a_spacing_that_the_image_contradicts_is_an_error(tmp_path: Path, images: Path) -> None:
    with pytest.raises(DatasetMalformed, match=r"'0.7' in row 2, column 'pixel_spacing_mm'.*1.4 mm"):
        read(tmp_path, images, {"pixel_spacing_mm": "0.7"})


def test_a_diameter_that_outline_and_spacing_contradict_is_an_error(tmp_path: Path, images: Path) -> None:
    drawn = {"outline": str(images / "mask.png")}
    with pytest.raises(DatasetMalformed, match=r"'30' in row 2, column 'diameter_mm'.*about 14.2 mm.*1.4 mm a pixel"):
        read(tmp_path, images, drawn | {"diameter_mm": "30"})
    with pytest.raises(DatasetMalformed, match=r"'359' in row 2, column 'diameter_mm'"):
        read(tmp_path, images, {"diameter_mm": "359"})


def test_diameters_that_are_all_too_large_tell_of_a_wrong_spacing(tmp_path: Path, images: Path) -> None:
    rows = [{"outline": str(images / "mask.png"), "diameter_mm": "23"} for _ in range(5)]
    with pytest.raises(DatasetMalformed, match=r"1\.62 times those of the outlines \(median of 5 rows\)"):
        read(tmp_path, images, *rows)
    assert len(read(tmp_path, images, *rows[:4]).nodules) == 4  # too few to tell


def test_a_patient_in_two_folds_is_found_while_reading(tmp_path: Path, images: Path) -> None:
    with pytest.raises(PatientLeak, match=r"patient P1 in several splits: fold 0 \(row 2\), fold 3 \(row 4\)"):
        read(tmp_path, images, {"fold": "0"}, {"fold": "0", "column": "180"}, {"fold": "3", "column": "20"})


def test_a_place_with_two_labels_is_an_error(tmp_path: Path, images: Path) -> None:
    copy = {"image": str(images / "a.npy"), "pixel_spacing_mm": "1.4", "column": "75", "label": "benign"}
    with pytest.raises(DatasetMalformed, match=r"rows 2 and 3, suspicious in one and benign in the other"):
        read(tmp_path, images, {}, copy)


def test_a_place_that_stands_twice_is_remarked(tmp_path: Path, images: Path) -> None:
    assert read(tmp_path, images, {}, {}).remarks == ("The same nodule stands in rows 2 and 3: it counts as often.",)


def test_the_same_slice_under_two_names_is_a_leak(tmp_path: Path, images: Path) -> None:
    copy = tmp_path / "copy.dcm"  # another header, the same pixels
    copy.write_bytes(dicom(chest(), SeriesInstanceUID="1.9", SOPInstanceUID="1.9.1"))
    rows = {"fold": "0"}, {"fold": "1", "patient": "P2", "image": str(copy), "column": "180"}
    with pytest.raises(PatientLeak, match="the same slice under the names P1, P2"):
        read(tmp_path, images, *rows)


def test_different_images_are_no_leak(tmp_path: Path, images: Path) -> None:
    rows = {"fold": "0"}, {"fold": "1", "patient": "P2", "image": str(images / "b.dcm")}
    inside, outside = hold_out(read(tmp_path, images, *rows), 0)
    assert inside.patients == {"P2"}
    assert outside.patients == {"P1"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "none.dcm"}, "'none.dcm' in row 3, column 'image'.*Paths are relative"),
        ({"image": "nodules.csv"}, "text in nodules.csv in row 3, column 'image'; expected DICOM, PNG"),
        ({"column": ""}, "nothing in row 3, column 'column'"),
        ({"column": "256"}, "'256' in row 3, column 'column'.*from 0 to 255"),
        ({"row": "ten"}, "'ten' in row 3, column 'row'.*a number"),
        ({"row": "nan"}, "'nan' in row 3, column 'row'"),
        ({"patient": " "}, "row 3, column 'patient'.*splits are by patient"),
        ({"label": ""}, "row 3, column 'label'.*suspicious, benign"),
        ({"label": "4;6"}, "'4;6' in row 3, column 'label'.*from 1 to 5"),
        ({"fold": "1.5"}, "row 3, column 'fold'.*whole"),
        ({"frame": "2"}, "frame 2 of 1.* in row 3, column 'image'"),
        ({"diameter_mm": "12 mm"}, "row 3, column 'diameter_mm'.*no unit"),
        ({"window": "1500"}, "row 3, column 'window'.*centre;width"),
        ({"outline": "nodules.csv"}, "row 3, column 'outline'.*256 x 256"),
        (RATED | {"margin": ""}, "row 3, column 'margin'.*all seven"),
        (RATED | {"margin": "6"}, "'6' in row 3, column 'margin'.*1 to 5"),
    ],
)
def test_errors_name_the_row_the_column_and_the_remedy(
    tmp_path: Path, images: Path, row: dict[str, str], message: str
) -> None:
    with pytest.raises(DatasetMalformed, match=message):
        read(tmp_path, images, {}, row)


@pytest.mark.parametrize("missing", ["pixel_spacing_mm", "window"])
def test_what_a_picture_does_not_say_is_not_assumed(tmp_path: Path, images: Path, missing: str) -> None:
    png = {"image": str(images / "a.png"), "pixel_spacing_mm": "1.4", "window": "1024;4096"}
    with pytest.raises(DatasetMalformed, match=f"row 2, column '{missing}'.*does not say"):
        read(tmp_path, images, png | {missing: ""})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing: image, column, row, patient, label"),
        ("image;column;row;label;patient\na;1;1;1;P", "missing.*commas between cells"),
        ("image,column,row,label,patient\n", "no rows"),
        ("image,column,row,patient,label,malignancy\na,1,1,P,1,5", "both: label, malignancy"),
        ("image,column,row,patient,label,diamter_mm\na,1,1,P,1,5", r"misspelt: diamter_mm \(diameter_mm\?\)"),
        ("image,column,row,patient,label,margin\na,1,1,P,1,5", "missing beside other traits: subtlety"),
        ("image,column,row,patient,label,row\na,1,1,P,1,5", "twice: row"),
        ("image,column,row,patient,label\na,1,1,P,1,5", "more cells in row 2"),
        ('image,column,row,patient,label\n"a,1,1,P,1', "not a CSV file"),
        (b"image,column\xff", "not a CSV file"),
    ],
)
def test_a_table_that_is_none_says_what_it_lacks(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetMalformed, match=message):
        read_dataset(path)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="Point --data"):
        read_dataset(tmp_path / "t.csv")
