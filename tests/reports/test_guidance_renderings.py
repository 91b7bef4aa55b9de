"""What guidelines say is the same in JSON, structured report, FHIR and the report for people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from app.inference.bundle import Bundle
from app.inference.vocabulary import Decision
from app.judgement.answers import answer
from app.judgement.case_page import case_page
from app.judgement.judge import Judgement
from app.judgement.parameters import parse_parameters
from app.reports.fhir import write_bundle
from app.reports.report import Report
from app.reports.structured import write_structured_report
from tests.reports.cases import WRITTEN, empty_report, series_report, slice_report
from tests.reports.guidance_said import in_fhir, in_json, in_sr
from tests.reports.test_case_page import in_html, in_pdf
from tests.reports.written import Make

ALL: Final = "fleischner,lung-rads,bts,c-lung-rads,brock,mayo"
CONTEXTS: Final = (
    "{}",
    '{"age_years": 62, "sex": "male", "smoking": "former", "family_history": false, "emphysema": false, "nodules": 1, '
    '"upper_lobe": true, "known_cancer": "none", "immunosuppressed": false, "purpose": "screening"}',
)
CASES: Final[tuple[tuple[Make, Decision], ...]] = (
    *((series_report, "cancer_suspected"), (series_report, "indeterminate"), (slice_report, "cancer_suspected")),
    *((slice_report, "rejected"), (empty_report, "normal")),
)


def asked(make: Make, decision: Decision, context: str, bundle: Bundle) -> tuple[Judgement, Report]:
    """A judgement with guidelines, and its report."""
    report = make(decision, bundle)
    roi = {} if report.roi_px is None else {"roi": ",".join(map(str, report.roi_px))}
    parameters = parse_parameters({"guidelines": ALL, "context": context, **roi})
    judgement = Judgement(report.image, parameters, report.prediction, bundle, None, None, {})
    return judgement, judgement.report(report.headers, WRITTEN)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(("make", "decision"), CASES)
def test_every_rendering_says_the_same(make: Make, decision: Decision, context: str, bundle: Bundle) -> None:
    judgement, report = asked(make, decision, context, bundle)
    said: Any = answer(judgement, "en", "")
    wanted = in_json(said["guidelines"], {f.id: report.tracking_uid(f) for f in report.findings})
    assert in_sr(write_structured_report(report)) == wanted
    assert in_fhir(entry["resource"] for entry in write_bundle(report)["entry"]) == wanted
    assert set(wanted[1]) == set(ALL.split(","))


def test_the_page_says_the_same(bundle: Bundle) -> None:
    judgement, _ = asked(series_report, "cancer_suspected", CONTEXTS[1], bundle)
    said: Any = answer(judgement, "en", "")
    page = case_page(judgement, "en", WRITTEN)
    html, pdf = in_html(page), in_pdf(page)
    for each in said["guidelines"]["assessments"]:
        for line in each.get("findings", ()):
            for told in (line["category"], ", ".join(line["possible"]), line["rule"]):
                assert told in html
                assert told.replace(" ", "") in pdf
        for missing in each["missing"]:
            assert missing["message"] in html


def test_without_guidelines_nothing_is_said_of_them_and_the_report_keeps_its_uid(bundle: Bundle) -> None:
    _, told = asked(series_report, "cancer_suspected", CONTEXTS[1], bundle)
    bare = replace(told, guidance=None)
    document, other = write_structured_report(bare), write_structured_report(told)
    assert "guidelines" not in [item.ConceptNameCodeSequence[0].CodeValue for item in document.ContentSequence]
    assert document.SOPInstanceUID == bare.instance_uid("sr")
    assert document.SOPInstanceUID != other.SOPInstanceUID  # what says more is another document
    assert [bare.tracking_uid(f) for f in bare.findings] == [told.tracking_uid(f) for f in told.findings]
    assert len(write_bundle(bare)["entry"]) < len(write_bundle(told)["entry"])


def test_a_deidentified_report_does_not_say_what_is_known_of_the_patient(bundle: Bundle) -> None:
    _, report = asked(series_report, "cancer_suspected", CONTEXTS[1], bundle)
    hidden = replace(report, deidentified=True)
    assert in_sr(write_structured_report(hidden))[0] == ()
    assert in_fhir(entry["resource"] for entry in write_bundle(hidden)["entry"])[0] == ()
