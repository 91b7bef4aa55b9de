"""The generated slice that the documentation sends."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from app.imaging.candidates import find_candidates
from app.imaging.lungs import segment_lungs
from app.imaging.patches import PatchSpec, extract_patch
from app.imaging.quality import check_lungs, check_roi, check_slice
from app.imaging.read import read_slice
from phantoms.slices import EXAMPLE_NODULE, example_slice

FILE = Path(__file__).resolve().parents[1] / "app" / "web" / "example-slice.dcm"
MAX_BYTES = 150_000


def described(data: bytes) -> Dataset:
    dataset = dcmread(BytesIO(data))
    del dataset.PixelData
    return dataset


def test_the_committed_file_is_what_the_script_writes() -> None:
    committed, written = FILE.read_bytes(), example_slice()
    assert described(committed) == described(written)
    # Not byte by byte: another build of the codec may compress otherwise, another libm round otherwise.
    assert np.abs(read_slice(committed).hu - read_slice(written).hu).max() <= 1
    assert len(committed) < MAX_BYTES


def test_it_names_nobody() -> None:
    dataset = described(FILE.read_bytes())
    assert (str(dataset.PatientName), dataset.PatientID) == ("Phantom^Chest", "PHANTOM")
    uids = [element.value for element in dataset if element.VR == "UI" and element.keyword != "SOPClassUID"]
    assert all(str(uid).startswith("2.25.") for uid in uids)


def test_its_nodule_is_found_where_the_documentation_says() -> None:
    ct_slice = read_slice(FILE.read_bytes())
    lungs = segment_lungs(ct_slice)
    assert (check_slice(ct_slice), check_lungs(ct_slice, lungs)) == ((), ())
    strongest = find_candidates(ct_slice, lungs)[0]
    assert math.dist(strongest.centre_px, EXAMPLE_NODULE.centre_px) < 2
    assert check_roi(extract_patch(ct_slice, EXAMPLE_NODULE.centre_px, PatchSpec(48, 0.7))) == ()
