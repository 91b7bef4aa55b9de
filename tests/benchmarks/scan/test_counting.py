"""What is counted as found, as an alarm and as a contradiction."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.read import read_slice
from benchmarks.proportions import in_words
from benchmarks.scan import curves
from benchmarks.scan.agreement import PlaceSaid, Verdict
from benchmarks.scan.answers import Answer
from benchmarks.scan.chest_slices import Kind, kind_of, picture
from benchmarks.scan.false_alarms import decisions
from benchmarks.scan.planted_slices import PlantedSlices, SlicePlanting
from benchmarks.scan.tables import BEGIN, END, page_of


@pytest.mark.parametrize(
    ("region", "reading", "kind"),
    [
        ("chest", "mass on the pleura", "lesion"),
        ("chest", "part-solid nodule", "lesion"),
        ("chest", "consolidation and diffuse disease", "opaque"),
        ("chest", "", "plain"),
        ("lung base", "", "other"),
        ("chest", "patient on the side", "other"),
        ("pelvis", "", "elsewhere"),
    ],
)
def test_what_is_asked_of_a_row(region: str, reading: str, kind: Kind) -> None:
    assert kind_of(region, reading) == kind


def test_a_picture_is_read_back_within_its_grey_levels() -> None:
    hu = np.linspace(-1350, 150, 64 * 64, dtype=np.float32).reshape(64, 64)
    assert np.abs(read_slice(picture(hu)).hu - hu).max() <= 1500 / 255


def test_decisions_are_counted_by_their_reason() -> None:
    answers = [
        Answer(decision="indeterminate", probability=None, reasons=("opacified_lung",), warnings=(), findings=()),
        Answer(decision="normal", probability=None, reasons=(), warnings=(), findings=()),
        Answer(decision="normal", probability=None, reasons=(), warnings=(), findings=()),
    ]
    assert decisions(answers) == {"indeterminate: opacified_lung": 1, "normal": 2}


@pytest.mark.parametrize(
    ("roi", "by_slice", "by_series", "contradicted"),
    [
        ("suspected", "suspected", "suspected", ()),
        ("suspected", "open", "shown", ()),
        ("rejected", "suspected", "open", ("roi, slice",)),
        ("suspected", "nothing", "nothing", ("roi, slice", "roi, series")),
        ("normal", "nothing", "suspected", ("roi, series", "slice, series")),
    ],
)
def test_contradictions(roi: Verdict, by_slice: Verdict, by_series: Verdict, contradicted: tuple[str, ...]) -> None:
    place = PlaceSaid(
        scan="", source="lung", slice=0, column=0, row=0, roi=roi, reasons=(), by_slice=by_slice, by_series=by_series
    )
    assert place.contradictions == contradicted


def planting(score: float | None, **changed: object) -> SlicePlanting:
    facts: dict[str, object] = {
        "scan": "a", "network": "n", "kind": "nodule", "nodule_id": 1, "patient": "P", "diameter_mm": 8.0,
        "enlarged": 1.0, "median_rating": 5.0, "texture": 5.0, "readers": 4, "slice": 0, "place": (0, 0),
        "decision": "normal", "reasons": (), "listed": True, "suspected": True, "open_score": score,
    }  # fmt: skip
    return SlicePlanting.model_validate(facts | changed)


def scan(name: str, background: tuple[float | None, ...], *scores: float | None) -> PlantedSlices:
    return PlantedSlices(
        scan=name, plantings=tuple(planting(s, scan=name) for s in scores), left_out=0, background=background
    )


def test_a_curve_counts_slices_and_plantings_at_one_score() -> None:
    alarms = tuple(float(n) for n in range(20))
    points = {p.rate: p for p in curves.curve([scan("a", alarms, 18.5, 19.5, None, 30.0)])}
    assert points[0.05].false_alarms == 0.05
    assert points[0.05].sensitivity["suspicious solid, 6 mm and more"] == 0.75
    assert points[0.0].false_alarms == 0
    assert points[0.0].sensitivity["suspicious solid, 6 mm and more"] == 0.5


def test_a_scan_is_held_against_the_score_that_the_others_choose() -> None:
    quiet, loud = scan("quiet", (None,) * 20, 5.0), scan("loud", (9.0,) * 20, 5.0)
    by_scan = {o.scan: o for o in curves.by_others([quiet, loud])}
    assert by_scan["loud"].false_alarms == 1.0
    assert by_scan["quiet"].false_alarms == 0.0
    assert by_scan["quiet"].sensitivity == 0.0


def test_a_share_stands_with_its_interval() -> None:
    assert in_words(1, 14) == "1 of 14 (0.07, 0.00 to 0.34)"
    assert in_words(0, 0) == "none"


def test_a_page_keeps_what_stands_around_its_tables() -> None:
    assert page_of(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb"
    with pytest.raises(ValueError, match="figures"):
        page_of("a", "new")
