"""Which versions of a model shall be loaded, by label: what an operator changes, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from app.errors import InvalidParameter, UnknownVersion, VersionInUse
from app.inference.canaries import CANARY
from app.inference.networks import STABLE

PREVIOUS: Final = "previous"  # the label of the version that judged before


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that shall be loaded: what for, and the digest of its manifest."""

    label: str
    digest: str


Versions: TypeAlias = Mapping[str, Wanted]  # of one model, by number


def judging(versions: Versions) -> str:
    """The version that judges."""
    return next(number for number, each in versions.items() if each.label == STABLE)


def with_loaded(versions: Versions, number: str, digest: str) -> Versions:
    """With another one beside; the same where it is there."""
    return versions if number in versions else {**versions, number: Wanted(CANARY, digest)}


def without(versions: Versions, number: str) -> Versions:
    """Without one; raises UnknownVersion, and VersionInUse for the one that judges."""
    _require_free(_of(versions, number))
    return {other: each for other, each in versions.items() if other != number}


def with_label(versions: Versions, number: str, label: str) -> Versions:
    """With a label on one, which loses its own; whoever had that label becomes a canary, of which there may be many.

    `stable` makes it judge: the one that judged becomes `previous`, and what was `previous` is not wanted any more.
    Raises UnknownVersion, VersionInUse where nothing would judge, and InvalidParameter for a label of the service's.
    """
    own = _of(versions, number)
    if label == own.label:
        return versions
    if label == STABLE:
        return _judging(versions, number)
    if label == PREVIOUS:
        raise InvalidParameter(
            found=f"the label {PREVIOUS}",
            expected="another one",
            remedy="The service gives it to the version that judged before.",
        )
    _require_free(own)
    freed = {other: replace(each, label=CANARY) if each.label == label else each for other, each in versions.items()}
    return {**freed, number: replace(own, label=label)}


def rolled_back(versions: Versions) -> Versions:
    """With the version that judged before judging again, and the one that judges as `previous`. Raises UnknownVersion
    where none judged before."""
    for number, each in versions.items():
        if each.label == PREVIOUS:
            return _judging(versions, number)
    raise UnknownVersion(
        found="no version that judged before and is loaded",
        expected=f"one with the label {PREVIOUS}",
        remedy="Load the version that shall judge, and give it the label stable.",
    )


def _judging(versions: Versions, number: str) -> Versions:
    kept = {}
    for other, each in versions.items():
        if other == number:
            kept[other] = replace(each, label=STABLE)
        elif each.label == STABLE:
            kept[other] = replace(each, label=PREVIOUS)
        elif each.label != PREVIOUS:
            kept[other] = each
    return kept


def _of(versions: Versions, number: str) -> Wanted:
    if number not in versions:
        raise UnknownVersion(
            found="a version that is not loaded",
            expected=" or ".join(versions),
            remedy="Load it: POST /v1/models/{name}/versions/{version}/load.",
        )
    return versions[number]


def _require_free(version: Wanted) -> None:
    if version.label == STABLE:
        raise VersionInUse(
            found="the version that judges",
            expected="one that stands beside",
            remedy="Let another one judge first: PUT /v1/models/{name}/labels/stable.",
        )
