"""The findings of an answer as rows of a table: the numbers of the JSON, under plain names."""

from __future__ import annotations

from typing import Final

from app.judgement.answer_types import Answer, FindingOut
from app.judgement.size_answers import MeasuredOut, SizeOut
from app.reports.page_words import TRAIT_NAMES

TRAITS: Final = tuple(TRAIT_NAMES)
OF_CASE: Final = ("decision", "scan_probability", "reasons", "quality")
OF_PLACE: Final = (
    *("finding", "probability", "suspicion", "nodule_probability", "slice", "slices"),
    *("column", "row", "x_mm", "y_mm", "z_mm", "side", "third"),
)
OF_SIZE: Final = (
    *("long_axis_mm", "short_axis_mm", "mean_diameter_mm", "mean_diameter_low", "mean_diameter_high", "area_mm2"),
    *("volume_mm3", "volume_low", "volume_high", "attenuation", "median_hu"),
)
COLUMNS: Final = (*OF_CASE, *OF_PLACE, *OF_SIZE, *TRAITS)
Row = dict[str, object]


def finding_rows(said: Answer) -> list[Row]:
    """One row a finding, the most suspicious first; one without finding where nothing was found. Slices are counted
    from 1, in spatial order; `quality` and `reasons` are codes with semicolons between them."""
    case: Row = {
        "decision": said["decision"],
        "scan_probability": said["probability"],
        "reasons": ";".join(said["reasons"]),
        "quality": ";".join(dict.fromkeys(note["code"] for note in said["quality"])),
    }
    return [case | _place(found, said) | _size(found["size"]) | _traits(found) for found in said["findings"]] or [case]


def _place(found: FindingOut, said: Answer) -> Row:
    place: Row = {
        "finding": found["id"],
        "probability": found["probability"],
        "suspicion": found.get("suspicion"),
        "nodule_probability": found["nodule_probability"],
        "side": found["location"]["side"],
        "third": found["location"]["third"],
    }
    if "slice" in found and "series" in said["source"]:
        place |= {"slice": found["slice"]["index"] + 1, "slices": said["source"]["series"]["slices"]}
    place["column"], place["row"] = found["center_px"]
    if found["center_mm"] is not None:
        place["x_mm"], place["y_mm"], place["z_mm"] = found["center_mm"]
    return place


def _size(size: SizeOut | None) -> Row:
    if size is None:
        return {}
    row: Row = {
        "long_axis_mm": size["long_axis_mm"],
        "short_axis_mm": size["short_axis_mm"],
        "area_mm2": size["area_mm2"],
        "attenuation": size["attenuation"]["code"],
        "median_hu": size["attenuation"]["median_hu"],
    }
    row |= _measured("mean_diameter", "mm", size["mean_diameter_mm"])
    return row | (_measured("volume", "mm3", size["volume_mm3"]) if "volume_mm3" in size else {})


def _measured(name: str, unit: str, measured: MeasuredOut) -> Row:
    low, high = measured["interval"]
    return {f"{name}_{unit}": measured["value"], f"{name}_low": low, f"{name}_high": high}


def _traits(found: FindingOut) -> Row:
    return {name: trait["value"] for name, trait in found["traits"].items() if name in TRAITS}
