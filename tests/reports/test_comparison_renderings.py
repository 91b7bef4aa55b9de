"""One comparison, every rendering: JSON, structured report, FHIR, HTML and PDF are read back and say the same."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

import highdicom as hd
import pydicom
import pytest

from app.comparison.growth import Doubling
from app.explain.canvas import font_bytes
from app.inference.bundle import Bundle
from app.inference.prediction import Measured
from app.inference.vocabulary import Language
from app.judgement.comparing import ComparedPair
from app.judgement.comparison_answers import comparison_answer
from app.judgement.comparison_formats import page_of, render_comparison
from app.judgement.comparison_page import MAX_CARDS
from app.judgement.formats import Format
from app.judgement.parameters import Parameters
from app.reports import codes
from app.reports.compared import ComparedReport, comparison_summary
from app.reports.page_html import write_html
from app.reports.page_pdf import write_pdf
from app.telemetry import Metrics
from phantoms.slices import SECRET_ID, SECRET_NAME
from tests.reports.cases import WRITTEN
from tests.reports.compared_cases import ASKED, DAYS, compared_pair, odd_pairs, written_pair
from tests.reports.guidance_said import in_fhir, in_json, in_sr
from tests.reports.numbers import Numbers, fhir_numbers, json_numbers, sr_numbers
from tests.reports.pdf_text import pages_of
from tests.reports.test_case_page import in_html

DIGITS: Final = 0.005  # of a number with three significant digits: they are 0.5 % of it at most
PERCENT: Final = 0.051  # the answer's change has three decimals, of 1
VERDICTS: Final = ["grew", "shrank", "within_measurement_error", "stable", "new", "not_compared", "gone"]
OR_MORE: Final = {"en": " or more", "zh": " 或以上"}
OF_PAIRS: Final[tuple[Format, ...]] = ("json", "html", "pdf", "dicom", "fhir")
Ends = tuple[float | None, float | None, float | None]


@dataclass
class Said:
    """What a rendering says of one nodule: its verdict, all that are possible, the change of its volume in percent and
    its doubling time in days, each with its interval, texts with codes, and the sizes now and before."""

    verdict: str
    possible: Sequence[str]
    percent: Ends | None
    days: Ends | None
    texts: dict[str, list[str]]
    now: Numbers
    before: Numbers


@pytest.fixture(scope="module")
def pair(bundle: Bundle) -> ComparedPair:
    return compared_pair(bundle)


@pytest.fixture(scope="module")
def report(pair: ComparedPair) -> ComparedReport:
    return written_pair(pair)


@pytest.fixture(scope="module")
def answer(pair: ComparedPair) -> Any:
    return json.loads(json.dumps(comparison_answer(pair, "en", "", {})))


@pytest.fixture(scope="module")
def document(pair: ComparedPair) -> Any:
    (data,) = render_comparison(pair, "dicom", "en", "", {}, Metrics())
    return hd.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(BytesIO(data)))


@pytest.fixture(scope="module")
def resources(pair: ComparedPair) -> list[Any]:
    asked = replace(pair, parameters=replace(ASKED, pdf=True))
    (data,) = render_comparison(asked, "fhir", "zh", "", {}, Metrics())
    return [entry["resource"] for entry in json.loads(data)["entry"]]


@pytest.fixture(scope="module")
def wanted(answer: Any) -> dict[str, Said]:
    """By tracking UID, as the answer in JSON says it."""
    return {nodule["tracking_uid"]: of_json(nodule, answer) for nodule in answer["nodules"]}


def of_json(nodule: Any, answer: Any) -> Said:
    sizes = {part: json_size(nodule, answer, part) for part in ("current", "prior")}
    days, change = nodule["doubling_days"], nodule["volume_change"]
    texts = {"pace": [] if days is None else days["paces"]}
    texts |= {"no-doubling": [nodule["no_doubling"]], "not-compared": [nodule["reason"]]}
    ends = None if change is None else [change["value"], *change["interval"]]
    return Said(
        nodule["verdict"],
        nodule["possible"],
        None if ends is None else three([None if end is None else 100 * end for end in ends]),
        None if days is None else three([days["value"], *days["interval"]]),
        {name: words for name, words in texts.items() if any(words)},
        json_numbers(sizes["current"]),
        json_numbers(sizes["prior"]),
    )


def json_size(nodule: Any, answer: Any, part: str) -> Any:
    found = {each["id"]: each["size"] for each in answer[part]["findings"]}
    if nodule[part] is not None:
        return found[nodule[part]]
    looked = nodule["looked"]
    return looked["size"] if looked is not None and looked["series"] == part else None


def three(ends: Any) -> Ends:
    value, low, high = ends
    return value, low, high


def assert_same(found: dict[str, Said], wanted: dict[str, Said]) -> None:
    assert list(found) == list(wanted)
    for uid, said in found.items():
        other = wanted[uid]
        assert (said.verdict, said.possible, said.texts) == (other.verdict, other.possible, other.texts)
        assert near(said.percent, other.percent, PERCENT)
        assert near(said.days, other.days, 0)
        assert said.now == pytest.approx(other.now, rel=DIGITS)
        assert said.before == pytest.approx(other.before, rel=DIGITS)


def near(found: Ends | None, other: Ends | None, apart: float) -> bool:
    """Margins are differences, so that three digits of them are less of an end."""
    if found is None or other is None:
        return found is other
    most = max(abs(end) for end in other if end is not None)
    return all(
        one is two if one is None or two is None else one == pytest.approx(two, abs=2 * DIGITS * most + apart)
        for one, two in zip(found, other, strict=True)
    )


def test_the_case_has_every_verdict(wanted: dict[str, Said], answer: Any) -> None:
    assert [said.verdict for said in wanted.values()] == VERDICTS
    assert next(iter(wanted.values())).percent == pytest.approx((100.4, 71.7, 130.2), abs=0.5)
    assert answer["nodules"][3]["looked"]["series"] == "prior"


def test_structured_report(document: Any, wanted: dict[str, Said], report: ComparedReport) -> None:
    groups = [*document.content.get_image_measurement_groups(), *document.content.get_planar_roi_measurement_groups()]
    by_uid: dict[str, list[Any]] = {}
    for group in groups:
        by_uid.setdefault(str(group.tracking_uid), []).append(group)
    verdicts = {code.value: verdict for verdict, code in codes.VERDICTS.items()}
    found = {}
    for uid in wanted:
        (change,) = [group for group in by_uid[uid] if group.tracking_identifier.endswith(": change")]
        prior = [group for group in by_uid[uid] if group.tracking_identifier.endswith("of the prior series")]
        now = [group for group in by_uid[uid] if group is not change and group not in prior]
        told = {}
        for name in ("verdict", "verdict-possible"):
            said = [each.value.value for each in change.get_qualitative_evaluations() if each.name.value == name]
            told[name] = [verdicts[code] for code in said]
        numbers = {each.name.value: each for each in change.get_measurements()}
        texts = {name: text_values(change[0], name) for name in ("pace", "no-doubling", "not-compared")}
        found[uid] = Said(
            told["verdict"][0],
            told["verdict-possible"],
            sr_ends(numbers.get(codes.SIZE_DIFFERENCE.value)),
            sr_ends(numbers.get(codes.DOUBLING_TIME.value)),
            {name: words for name, words in texts.items() if words},
            {name: value for group in now for name, value in sr_numbers(group).items()},
            {name: value for group in prior for name, value in sr_numbers(group).items()},
        )
    assert_same(found, wanted)
    assert set(by_uid) - set(wanted) == {report.current.instance_uid("sr", "decision")}


def sr_ends(measured: Any) -> Ends | None:
    if measured is None:
        return None
    value = float(measured.value)
    reach = {i.name.value: float(i.value) for i in measured[0].get("ContentSequence", ()) if i.ValueType == "NUM"}
    low, high = (reach.get(name.value) for name in (codes.BELOW, codes.ABOVE))
    return value, None if low is None else value - low, None if high is None else value + high


def text_values(item: Any, name: str) -> list[str]:
    found = [each for each in item.ContentSequence if each.ValueType == "TEXT" and each.name.value == name]
    return [each.TextValue for each in found]


def test_the_structured_report_refers_to_both_series(document: Any, report: ComparedReport, pair: ComparedPair) -> None:
    current, prior = report.current.sources, report.prior.sources
    evidence = [
        (study.StudyInstanceUID, series.SeriesInstanceUID, sop.ReferencedSOPInstanceUID)
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in document.get(keyword, ())
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    ]
    assert sorted(evidence) == sorted(
        (s.study_instance_uid, s.series_instance_uid, s.sop_instance_uid) for s in (*current, *prior)
    )
    assert document.StudyInstanceUID == current[0].study_instance_uid
    (compared,) = [each for each in document.ContentSequence if name_of(each) == codes.COMPARISON.value]
    uids = {name_of(each): each.UID for each in compared.ContentSequence if each.ValueType == "UIDREF"}
    assert uids == {"110180": prior[0].study_instance_uid, "112002": prior[0].series_instance_uid}
    # A nodule keeps the name of its prior finding, and says what its own series' results call it.
    change = [g for g in document.content.get_image_measurement_groups() if g.tracking_identifier.endswith("change")]
    own = pair.current.judgement.report((), report.current.written)
    first = own.findings[0]
    assert change[0].tracking_uid == pair.prior.tracking_uids[1] != own.tracking_uid(first)
    (alias,) = [i.UID for i in change[0][0].ContentSequence if name_of(i) == codes.OWN_TRACKING_UID.value]
    assert alias == own.tracking_uid(first)
    images = {item.referenced_sop_instance_uid for item in change[0].source_images}
    assert images == {current[1].sop_instance_uid, prior[1].sop_instance_uid}
    assert [days_of(group[0]) for group in change] == [DAYS] * len(change)


def name_of(item: Any) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def days_of(item: Any) -> float:
    (offset,) = [i for i in item.ContentSequence if name_of(i) == codes.DAYS_BETWEEN.value]
    return float(offset.MeasuredValueSequence[0].NumericValue)


def test_fhir(resources: list[Any], wanted: dict[str, Said], report: ComparedReport) -> None:
    by_address = {f"urn:uuid:{each['id']}": each for each in resources}
    assert len(by_address) == len(resources)
    verdicts = {code.value: verdict for verdict, code in codes.VERDICTS.items()}
    changes = [each for each in resources if code_of(each) == codes.SIZE_DIFFERENCE.value]
    found = {}
    for change in changes:
        uid = change["identifier"][1]["value"].removeprefix("urn:oid:")
        derived = [by_address[each["reference"]] for each in change["derivedFrom"]]
        sizes: dict[str | None, Numbers] = {}
        for each in derived:
            if each["resourceType"] == "Observation":
                assert uid in [i["value"].removeprefix("urn:oid:") for i in each["identifier"]]
                sizes[each["effectiveDateTime"]] = fhir_numbers({code_of(c): c for c in each["component"]})
        told = [(code_of(c), c) for c in change["component"]]
        concepts = [(name, verdicts[value_code(c)]) for name, c in told if "valueCodeableConcept" in c]
        parts = dict(told)
        texts: dict[str, list[str]] = {}
        for name, component in told:
            if "valueString" in component:
                texts.setdefault(name, []).append(component["valueString"])
        days = parts.get(codes.DOUBLING_TIME.value)
        found[uid] = Said(
            next(verdict for name, verdict in concepts if name == "verdict"),
            [verdict for name, verdict in concepts if name == "verdict-possible"],
            fhir_ends(change.get("valueQuantity"), parts.get(codes.SIZE_INTERVAL.value)),
            fhir_ends(days and days["valueQuantity"], parts.get(codes.DOUBLING_INTERVAL.value)),
            texts,
            sizes.get("2026-03-14", {}),
            sizes.get("2025-08-14", {}),
        )
        assert parts[codes.DAYS_BETWEEN.value]["valueQuantity"]["value"] == DAYS
    assert_same(found, wanted)
    studies = {each["identifier"][0]["value"] for each in resources if each["resourceType"] == "ImagingStudy"}
    assert studies == {f"urn:oid:{r.sources[0].study_instance_uid}" for r in (report.current, report.prior)}
    diagnostic = resources[0]
    assert {by_address[each["reference"]]["id"] for each in diagnostic["result"]} >= {each["id"] for each in changes}
    assert f"Compared with a series of {DAYS} days before: grew: 1" in diagnostic["conclusion"]
    words = "".join(pages_of(b64decode(diagnostic["presentedForm"][0]["data"])))
    assert f"{DAYS}天前" in words.replace(" ", "")


def code_of(resource: Any) -> str:
    return str(resource["code"]["coding"][0]["code"]) if "code" in resource else ""


def value_code(component: Any) -> str:
    return str(component["valueCodeableConcept"]["coding"][0]["code"])


def fhir_ends(value: Any, interval: Any) -> Ends | None:
    if value is None:
        return None
    ends = {} if interval is None else interval["valueRange"]
    low, high = (ends[end]["value"] if end in ends else None for end in ("low", "high"))
    return value["value"], low, high


@pytest.mark.parametrize("name", ["nothing", "rejected", "twice", "uncertain"])
def test_an_odd_pair_is_written_in_every_format(name: str, bundle: Bundle) -> None:
    pair = odd_pairs(bundle)[name]
    made: dict[Format, bytes] = {}
    for wanted in OF_PAIRS:
        (made[wanted],) = render_comparison(pair, wanted, "zh", "", {}, Metrics())
    said = json.loads(made["json"])
    assert said["display"] in made["html"].decode()
    entries = json.loads(made["fhir"])["entry"]
    assert len({entry["fullUrl"] for entry in entries}) == len(entries)
    changes = [e["resource"] for e in entries if code_of(e["resource"]) == codes.SIZE_DIFFERENCE.value]
    document: Any = hd.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(BytesIO(made["dicom"])))
    groups = document.content.get_image_measurement_groups()
    assert len(changes) == len([g for g in groups if str(g.tracking_identifier).endswith("change")])
    studies = [e["resource"] for e in entries if e["resource"]["resourceType"] == "ImagingStudy"]
    assert [len(study["series"]) for study in studies] == ([1] if name == "twice" else [1, 1])


def test_of_a_doubling_time_without_an_upper_end_people_read_the_least(bundle: Bundle) -> None:
    pair = compared_pair(bundle)
    (first, *_) = pair.comparison.nodules
    slow = replace(first, doubling=Doubling(Measured(140449.9, 791.4, math.inf), ("over_600_days",)))
    pair = replace(pair, comparison=replace(pair.comparison, nodules=(slow,)))
    html = in_html(page_of(pair, "en"))
    (sentence, *_) = (words for words in comparison_summary(pair.report(WRITTEN, "en")) if "doubling" in words)
    assert "791 or more" in html
    assert "791 days or more" in sentence
    assert not any("140000" in words or "140449" in words for words in (html, sentence))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_html_and_pdf(bundle: Bundle, language: Language) -> None:
    pair = compared_pair(bundle, language=language)
    page = page_of(pair, language)
    said: Any = comparison_answer(pair, language, "", {})
    html, pdf = in_html(page), "".join(pages_of(write_pdf(page, font_bytes()))).replace(" ", "")
    told = [said["display"], "+100 %", "−50 %", "1100 (990–1230)", "2204 (1987–2406)"]
    told += [f"{nodule['display']}" for nodule in said["nodules"]]
    for nodule in said["nodules"]:
        if nodule["volume_change"] is not None:
            share = round(100 * nodule["volume_change"]["value"])
            told.append(f"{'−' if share < 0 else '+'}{abs(share)} %")
        if nodule["doubling_days"] is not None:
            least, most = nodule["doubling_days"]["interval"]
            shown, after = (least, OR_MORE[language]) if most is None else (nodule["doubling_days"]["value"], " (")
            told.append(f"{float(format(shown, '.3g')):.0f}{after}")
        for part in ("current", "prior"):
            size = json_size(nodule, said, part)
            volume = None if size is None else size["volume_mm3"]
            if volume is not None:
                low, high = volume["interval"]
                told.append(f"{volume['value']:.0f} ({low:.0f}–{high:.0f})")
    for words in told:
        assert words in html, words
        assert words.replace(" ", "") in pdf, words
    for private in (SECRET_ID, SECRET_NAME, "2026-03-13"):
        assert private not in html
    assert len(page.cards) == MAX_CARDS
    assert [card.heading.split(":")[0].split("：")[0][-1] for card in page.cards] == ["1", "5", "3", "6", "2"]
    assert write_html(page).count(b"data:image/png") == MAX_CARDS


def test_guidelines_beside_the_prior(pair: ComparedPair, report: ComparedReport, answer: Any, document: Any) -> None:
    uids = {f.id: report.current.tracking_uid(f) for f in report.current.findings}
    wanted = in_json(answer["guidelines"], uids)
    assert in_sr(document) == wanted
    (data,) = render_comparison(pair, "fhir", "en", "", {}, Metrics())
    assert in_fhir(entry["resource"] for entry in json.loads(data)["entry"]) == wanted
    grown = [lines for name, each in wanted[1].items() if name == "lung-rads" for lines in each.findings.values()]
    assert any("new" in rule for _, rule, _, _ in grown)


def test_nothing_but_what_is_asked_for_is_made(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("not asked for")

    monkeypatch.setattr("app.judgement.comparison_formats.comparison_page", fail)
    monkeypatch.setattr("app.judgement.comparison_formats.comparison_report", fail)
    monkeypatch.setattr("app.judgement.comparison_formats.comparison_bundle", fail)
    assert render_comparison(pair, "json", "en", "", {}, Metrics())
    bare = replace(pair, guidance=None, parameters=Parameters())
    assert "guidelines" not in json.loads(render_comparison(bare, "json", "en", "", {}, Metrics())[0])
