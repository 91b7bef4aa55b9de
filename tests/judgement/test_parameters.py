"""Parameters, from texts to values."""

from __future__ import annotations

import pytest

from app.errors import InvalidParameter
from app.imaging.ct import MAX_SPACING_MM, MIN_SPACING_MM
from app.judgement.parameters import parse_parameters, parse_series_parameters


def test_the_order_of_two_numbers_is_kept() -> None:
    """A roi is column,row; a spacing row,column; a window centre,width."""
    parsed = parse_parameters({"roi": "312, 201.5", "pixel_spacing_mm": "0.6,0.8", "window": "-600,1500"})
    assert parsed.roi_px == (312.0, 201.5)
    assert parsed.options.pixel_spacing_mm == (0.6, 0.8)
    assert parsed.options.window is not None
    assert (parsed.options.window.centre_hu, parsed.options.window.width_hu) == (-600.0, 1500.0)


def test_one_spacing_is_that_of_rows_and_columns() -> None:
    assert parse_parameters({"pixel_spacing_mm": "0.7"}).options.pixel_spacing_mm == (0.7, 0.7)


@pytest.mark.parametrize("spacing_mm", [MIN_SPACING_MM, MAX_SPACING_MM])
def test_the_ends_of_the_range_of_spacings_are_within_it(spacing_mm: float) -> None:
    assert parse_parameters({"pixel_spacing_mm": f"{spacing_mm}"}).options.pixel_spacing_mm == (spacing_mm, spacing_mm)


@pytest.mark.parametrize("spacing_mm", [MIN_SPACING_MM / 1.01, MAX_SPACING_MM * 1.01])
def test_each_of_two_spacings_is_within_the_range(spacing_mm: float) -> None:
    for text in (f"{spacing_mm}", f"0.7,{spacing_mm}", f"{spacing_mm},0.7"):
        with pytest.raises(InvalidParameter, match="pixel_spacing_mm"):
            parse_parameters({"pixel_spacing_mm": text})


@pytest.mark.parametrize(
    ("text", "explain"),
    [
        *((text, True) for text in ("true", "True", "TRUE", "1", "yes", "YES")),
        *((text, False) for text in ("false", "FALSE", "0", "no", "")),
    ],
)
def test_explain_may_be_written_in_any_case(text: str, explain: bool) -> None:
    assert parse_parameters({"explain": text}).explain is explain
    assert parse_series_parameters({"explain": text}).explain is explain


def test_what_is_not_known_is_remarked_on_but_not_repeated() -> None:
    for parse in (parse_parameters, parse_series_parameters):
        (note,) = parse({"colour": "blue", "explain": "true"}).notes
        assert (note.code, note.severity) == ("parameter_ignored", "warning")
        assert "colour" not in note.message
    assert not parse_parameters({"explain": "true", "frame": " "}).notes
