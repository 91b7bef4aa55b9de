"""Judges the image of a receipt again, and says how the result compares with the one that was signed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.audit.receipts import Receipt, digest_of
from app.judgement.result_digest import result_bytes, result_of

# Of what an answer rounds or measures in pixels and mm: twice the last place of a score, and what moves an outline.
ROUNDED: Final = 0.05
# Probabilities are held to the tolerance of the golden case; all other numbers are rounded, or measured on the mask.
PROBABILITIES: Final = ("probability", "nodule_probability", "operating_point")
SHAPES: Final = ("outline_px", "evidence")  # as many points as the mask's edge has: a pixel that flips adds one
Verdict = Literal["equal", "within tolerance", "differs"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a second result compares with the signed one, and the first places where it differs."""

    verdict: Verdict
    differences: tuple[str, ...] = ()


def compare(
    receipt: Receipt, signed: Mapping[str, Any] | None, again: Mapping[str, Any], tolerance: float
) -> Comparison:
    """Compare the answer `again` with a receipt, and where its digest is another one, number by number with the
    `signed` answer, if that is there. `tolerance` is that of the golden case."""
    if digest_of(result_bytes(again)) == receipt.text("result"):
        return Comparison("equal")
    if signed is None:
        return Comparison("differs", ("its digest is another one, and the signed answer is not there to compare with",))
    differences = tuple(_differences(result_of(signed), result_of(again), tolerance, ""))
    return Comparison("differs" if differences else "within tolerance", differences)


def _differences(signed: Any, again: Any, tolerance: float, place: str) -> Iterator[str]:
    name = place.rpartition(".")[2]
    if isinstance(signed, dict) and isinstance(again, dict):
        if signed.keys() != again.keys():
            yield f"{place or 'the answer'}: other members"
        for key in signed.keys() & again.keys():
            if key not in SHAPES:
                yield from _differences(signed[key], again[key], tolerance, f"{place}.{key}".lstrip("."))
    elif isinstance(signed, list | tuple) and isinstance(again, list | tuple):
        if len(signed) != len(again):
            yield f"{place}: {len(signed)} signed, {len(again)} now"
        for number, (one, other) in enumerate(zip(signed, again, strict=False)):
            yield from _differences(one, other, tolerance, f"{place}[{number}]")
    elif _is_number(signed) and _is_number(again):
        most = tolerance * max(1.0, abs(signed)) if name in PROBABILITIES else ROUNDED * max(1.0, abs(signed))
        if not math.isclose(signed, again, rel_tol=0, abs_tol=most):
            yield f"{place}: {signed:g} signed, {again:g} now"
    elif signed != again:
        yield f"{place}: another value"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
