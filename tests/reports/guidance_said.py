"""What each rendering says of guidelines, in one form: JSON, structured report, FHIR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from app.reports.figures import percent

Texts = tuple[str, ...]


@dataclass
class Guideline:
    """One guideline: of the whole and of findings by tracking UID; numbers in percent."""

    source: str = ""
    reason: str | None = None
    category: str | None = None
    possible: Texts = ()
    missing: Texts = ()
    findings: dict[str, tuple[str, str, Texts, Texts]] = field(default_factory=dict)
    probabilities: dict[str, tuple[float | None, float | None, float | None, Texts]] = field(default_factory=dict)


Said = tuple[Texts, dict[str, Guideline]]  # what is known, and each guideline by its name


def in_json(said: Any, uids: dict[int, str]) -> Said:
    """Of the findings whose tracking UIDs are given."""
    found = {}
    for each in said["assessments"]:
        guideline = Guideline(each["source"], each["reason"], each["category"], tuple(each["possible"]))
        guideline.missing = _codes(each)
        for line in each.get("findings", ()):
            if line["finding"] in uids:
                told = (line["category"], line["rule"], tuple(line["possible"]), _codes(line))
                guideline.findings[uids[line["finding"]]] = told
        for line in each.get("probabilities", ()):
            if line["finding"] in uids:
                numbers = (line["probability"], *(line["interval"] or (None, None)))
                low = tuple(None if number is None else percent(number) for number in numbers)
                guideline.probabilities[uids[line["finding"]]] = (low[0], low[1], low[2], _codes(line))
        found[each["name"]] = guideline
    return tuple(f"{fact['name']} {fact['value']} ({fact['origin']})" for fact in said["known"]), found


def in_sr(document: Dataset) -> Said:
    """Of the container beside the measurements."""
    (container,) = [item for item in document.ContentSequence if _name(item) == "guidelines"]
    found = {}
    for item in _all(container, "guideline"):
        (name,) = _texts(item, "guideline")
        guideline = Guideline(_texts(item, "guideline-source")[0])
        guideline.reason = _only(_texts(item, "not-made-for"))
        guideline.category = _only(_texts(item, "111005"))
        guideline.possible, guideline.missing = _texts(item, "possible"), _missing(_texts(item, "missing"))
        for each in _all(item, "assessed"):
            (uid,) = [child.UID for child in each.ContentSequence if _name(child) == "112040"]
            missing = _missing(_texts(each, "missing"))
            if category := _texts(each, "111005"):
                told = (category[0], _texts(each, "rule")[0], _texts(each, "possible"), missing)
                guideline.findings[uid] = told
            else:
                numbers = dict(_numbers(each))
                ends = (numbers.get(""), numbers.get("255605001"), numbers.get("56851009"))
                guideline.probabilities[uid] = (*ends, missing)
        found[name] = guideline
    return _texts(container, "known"), found


def in_fhir(resources: Iterable[Any]) -> Said:
    """Of the Observations of guidelines and their members."""
    by_address = {f"urn:uuid:{each['id']}": each for each in resources}
    wholes = [each for each in by_address.values() if "guideline-source" in _components(each)]
    found, known = {}, set()
    for whole in wholes:
        told = _components(whole)
        guideline = Guideline(told["guideline-source"][0], _only(told.get("not-made-for", ())), _value(whole))
        guideline.possible, guideline.missing = told.get("possible", ()), _missing(told.get("missing", ()))
        known.add(told.get("known", ()))
        for member in whole.get("hasMember", ()):
            each = by_address[member["reference"]]
            (finding,) = each["derivedFrom"]
            uid = by_address[finding["reference"]]["identifier"][1]["value"].removeprefix("urn:oid:")
            of_one = _components(each)
            missing = _missing(of_one.get("missing", ()))
            if (category := _value(each)) is not None:
                told_of = (category, of_one["rule"][0], of_one.get("possible", ()), missing)
                guideline.findings[uid] = told_of
            else:
                guideline.probabilities[uid] = (*_probability(each), missing)
        found[whole["code"]["text"]] = guideline
    (told_all,) = known
    return told_all, found


def _probability(resource: Any) -> tuple[float | None, float | None, float | None]:
    ranges = [each["valueRange"] for each in resource.get("component", ()) if "valueRange" in each]
    assert ("valueQuantity" in resource) != ("dataAbsentReason" in resource)
    own = resource["valueQuantity"]["value"] if "valueQuantity" in resource else None
    return (own, ranges[0]["low"]["value"], ranges[0]["high"]["value"]) if ranges else (own, None, None)


def _components(resource: Any) -> dict[str, Texts]:
    told: dict[str, Texts] = {}
    for each in resource.get("component", ()):
        if "valueString" in each:
            code = each["code"]["coding"][0]["code"]
            told[code] = (*told.get(code, ()), each["valueString"])
    return told


def _value(resource: Any) -> str | None:
    concept = resource.get("valueCodeableConcept")
    return None if concept is None else str(concept["text"])


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _all(item: Dataset, name: str) -> list[Dataset]:
    return [each for each in item.ContentSequence if _name(each) == name and each.ValueType == "CONTAINER"]


def _texts(item: Dataset, name: str) -> Texts:
    found = [each for each in item.ContentSequence if _name(each) == name and each.ValueType == "TEXT"]
    return tuple(each.TextValue for each in found)


def _numbers(item: Dataset) -> Iterator[tuple[str, float]]:
    """By the code of their derivation."""
    for each in item.ContentSequence:
        if each.ValueType == "NUM":
            modifiers = [child.ConceptCodeSequence[0].CodeValue for child in each.get("ContentSequence", ())]
            yield "".join(modifiers), float(each.MeasuredValueSequence[0].NumericValue)


def _codes(said: Any) -> Texts:
    return tuple(each["code"] for each in said["missing"])


def _missing(texts: Iterable[str]) -> Texts:
    return tuple(text.partition(":")[0] for text in texts)


def _only(texts: Texts) -> str | None:
    assert len(texts) <= 1
    return texts[0] if texts else None
