"""Which series are judged, and which reconstruction rather than another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.errors import LeftOutByRules
from app.judgement.selection import SeriesFacts, SeriesRules, facts_of
from phantoms.slices import dicom, small

PRESENT = {
    "BodyPartExamined": "CHEST",
    "SeriesDescription": "Thorax 1.0 lung",
    "ConvolutionKernel": "B60f",
    "SliceThickness": 1.0,
}


def series(folder: Path, count: int = 3, **attributes: Any) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / str(n) for n in range(count)]
    for path in paths:
        path.write_bytes(dicom(small(), **{**PRESENT, **attributes}))
    return paths


@pytest.mark.parametrize(
    ("rules", "attributes", "what"),
    [
        ({}, {}, None),
        ({"body_part": ["chest", "lung"]}, {}, None),
        ({"body_part": ["abdomen"]}, {}, "body part"),
        ({"description": ["lung"]}, {"SeriesDescription": "Abdomen 5.0"}, "description"),
        ({"description": ["^thorax .* LUNG$"]}, {}, None),
        ({"kernel": ["^B[67]", "lung"]}, {"ConvolutionKernel": ["LUNG", "3"]}, None),
        ({"kernel": ["^B[67]"]}, {"ConvolutionKernel": "B30f"}, "kernel"),
        ({"most_thickness_mm": 3}, {"SliceThickness": 5}, "slice thickness"),
        ({"least_thickness_mm": 2}, {}, "slice thickness"),
        ({"min_slices": 3}, {}, None),
        ({"min_slices": 4}, {}, "number of slices"),
        ({"derived": False}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "image type"),
        ({"derived": False}, {}, None),
        ({}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, None),
    ],
)
def test_a_series_is_judged_or_left_out(
    tmp_path: Path, rules: dict[str, Any], attributes: dict[str, Any], what: str | None
) -> None:
    paths = series(tmp_path / "series", **attributes)
    read = SeriesRules.model_validate(rules)
    if what is None:
        read.require(paths)
        assert read.rank(paths) is not None
        return
    with pytest.raises(LeftOutByRules, match=what):
        read.require(paths)
    assert read.rank(paths) is None


def test_what_a_header_does_not_say_leaves_nothing_out(tmp_path: Path) -> None:
    strict = {"body_part": ["chest"], "description": ["lung"], "kernel": ["B60"], "most_thickness_mm": 1}
    path = tmp_path / "slice"
    path.write_bytes(dicom(small(), SliceThickness=None, ImageType=None))
    SeriesRules.model_validate({**strict, "derived": False}).require([path])


def test_what_cannot_be_read_is_judged_so_that_somebody_says_why_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"no DICOM")
    rules = SeriesRules(min_slices=10)
    rules.require([tmp_path / "odd"])
    assert rules.rank([tmp_path / "odd"]) is None
    assert facts_of([tmp_path / "gone"]) is None
    paths = [tmp_path / "odd", *series(tmp_path / "series", count=1)]
    assert facts_of(paths) == SeriesFacts(2, "CHEST", "Thorax 1.0 lung", "B60f", 1.0)


def test_frames_count_as_slices(tmp_path: Path) -> None:
    facts = facts_of(series(tmp_path / "series", count=1, NumberOfFrames=40))
    assert facts is not None
    assert facts.slices == 40


def test_the_preferred_kernel_comes_first_then_the_thinnest_then_the_longest(tmp_path: Path) -> None:
    rules = SeriesRules.model_validate({"kernel": ["^B6", "^B3"]})
    described: list[dict[str, Any]] = [
        {"ConvolutionKernel": "B60f", "SliceThickness": 1.0, "count": 3},
        {"ConvolutionKernel": "B60f", "SliceThickness": 1.0, "count": 2},
        {"ConvolutionKernel": "B60f", "SliceThickness": 3.0},
        {"ConvolutionKernel": "B30f", "SliceThickness": 0.5},
    ]
    ranks = [rules.rank(series(tmp_path / str(n), **each)) for n, each in enumerate(described)]
    assert ranks == sorted(rank for rank in ranks if rank is not None)
    assert len(set(ranks)) == len(described)
