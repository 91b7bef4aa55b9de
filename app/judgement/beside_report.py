"""A report beside the findings of the series that it came with."""

from __future__ import annotations

from app.judgement.answer_types import ComparedReportOut, ModelRef
from app.judgement.judge import Judgement
from app.text.agreement import Place, compare
from app.text.answers import agreement_out, report_out
from app.text.reader import ReportReader


def beside(judgement: Judgement, text: str, reader: ReportReader) -> ComparedReportOut:
    """What a report states, and where it and the findings of a series agree."""
    if judgement.prediction.series is None:
        raise TypeError("a report is compared with a series")
    reading = reader.read(text)
    places = [
        Place(finding.id, finding.diameter_mm, finding.location.side, finding.location.height)
        for finding in judgement.prediction.findings
    ]
    tagger = reading.tagger
    return ComparedReportOut(
        **report_out(text, reading),
        tagger=None
        if tagger is None
        else ModelRef(name=tagger.manifest.name, version=str(tagger.manifest.version), digest=tagger.digest),
        agreement=[agreement_out(each) for each in compare(reading.mentions, places)],
    )
