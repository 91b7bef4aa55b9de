"""The sizes of one finding as each rendering says them, under the same names."""

from __future__ import annotations

from typing import Any, Final

from app.inference.prediction import Finding
from app.reports import codes

Numbers = dict[str, float]

SR_NAMES: Final = {
    "103339001": "long",
    "103340004": "short",
    "81827009": "mean",
    "42798000": "area",
    "118565006": "volume",
    "112182": "hu",
    "solid-part": "solid",
}


def numbers_of(finding: Finding) -> Numbers:
    size = finding.size
    if size is None:
        return {}
    found = {"long": size.axes.long_mm, "short": size.axes.short_mm, "area": size.area_mm2}
    found["hu"] = size.attenuation.median_hu
    measured = {"mean": size.mean_mm, "solid": size.attenuation.solid_mm, "volume": size.volume_mm3}
    for name, each in measured.items():
        if each is not None:
            found |= {name: each.value, f"{name} low": each.low, f"{name} high": each.high}
    return found


def json_numbers(size: dict[str, Any] | None) -> Numbers:
    if size is None:
        return {}
    density = size["attenuation"]
    found = {"long": size["long_axis_mm"], "short": size["short_axis_mm"], "area": size["area_mm2"]}
    found["hu"] = density["median_hu"]
    measured = {"mean": size["mean_diameter_mm"], "solid": density["solid_part_mm"], "volume": size.get("volume_mm3")}
    for name, each in measured.items():
        if each is not None:
            low, high = each["interval"]
            found |= {name: each["value"], f"{name} low": low, f"{name} high": high}
    return found


def sr_numbers(group: Any) -> Numbers:
    found: Numbers = {}
    for measured in group.get_measurements():
        name = SR_NAMES.get(measured.name.value)
        if name is None:
            continue
        assert float(f"{measured.value:.3g}") == measured.value
        found[name] = float(measured.value)
        reach = {i.name.value: float(i.value) for i in measured[0].get("ContentSequence", ()) if i.ValueType == "NUM"}
        if reach:
            found |= {
                f"{name} low": measured.value - reach[codes.BELOW.value],
                f"{name} high": measured.value + reach[codes.ABOVE.value],
            }
    return found


def fhir_numbers(components: dict[str, dict[str, Any]]) -> Numbers:
    found: Numbers = {}
    intervals = {"mean": "mean-interval", "solid": "solid-interval", "volume": "volume-interval"}
    for code, name in SR_NAMES.items():
        if code in components:
            found[name] = components[code]["valueQuantity"]["value"]
    for name, code in intervals.items():
        if code in components:
            interval = components[code]["valueRange"]
            found |= {f"{name} low": interval["low"]["value"], f"{name} high": interval["high"]["value"]}
    return found
