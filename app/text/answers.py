"""What a report states, as typed dictionaries to be written as JSON."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.text.agreement import Agreement, Basis, Outcome
from app.text.reader import Reading
from app.text.sentences import Span
from app.text.statements import Kind, Label, Language, Mention, Sentence, Side, Statement

SpanOut = Annotated[
    tuple[int, int], Field(description="first character and the one after the last, in Unicode code points, from 0")
]


class StatementOut(TypedDict):
    """One thing that words of a sentence state."""

    kind: Kind
    value: Annotated[str, Field(description="a code, such as nodule, right_upper, ground_glass, follow_up, T2a")]
    span: SpanOut
    text: Annotated[str, Field(description="the characters of the span")]
    mm: NotRequired[Annotated[list[float], Field(description="of a size: its numbers in millimetres")]]
    negated: NotRequired[Annotated[bool, Field(description="of a finding or attenuation: said not to be there")]]
    uncertain: NotRequired[Annotated[bool, Field(description="of a finding or attenuation: left open")]]


class LabelOut(TypedDict):
    """A label of the tagger."""

    label: str
    probability: Annotated[float, Field(ge=0, le=1)]


class SentenceOut(TypedDict):
    """One sentence."""

    span: SpanOut
    text: str
    statements: list[StatementOut]
    labels: Annotated[list[LabelOut] | None, Field(description="null where no tagger read it; `tagger` says so")]


class NoduleOut(TypedDict):
    """A nodule or mass that the report names, with what its sentence says of it."""

    sentence: Annotated[int, Field(ge=0, description="place in `sentences`")]
    term: Annotated[str, Field(description="nodule or mass")]
    span: SpanOut
    text: str
    size_mm: Annotated[float | None, Field(description="the longest number of its size")]
    lobes: list[str]
    sides: list[Side]
    attenuations: list[str]
    negated: bool
    uncertain: bool
    several: Annotated[bool, Field(description="the words are plural")]


class ReportOut(TypedDict):
    """What a report states."""

    language: Language
    sentences: list[SentenceOut]
    nodules: list[NoduleOut]


class AgreementOut(TypedDict):
    """A nodule of the report and a finding that fit, or one of them alone."""

    outcome: Outcome
    nodule: Annotated[int | None, Field(description="place in the report's `nodules`")]
    finding: Annotated[int | None, Field(description="id of the finding")]
    basis: Annotated[list[Basis], Field(description="what could be compared and agrees; the lobe is a coarse estimate")]
    message: str


def report_out(text: str, reading: Reading) -> ReportOut:
    """A reading of `text`."""
    return ReportOut(
        language=reading.language,
        sentences=[_sentence(text, sentence) for sentence in reading.sentences],
        nodules=[_nodule(text, mention) for mention in reading.mentions],
    )


def agreement_out(agreement: Agreement) -> AgreementOut:
    """One line of a comparison."""
    return AgreementOut(
        outcome=agreement.outcome,
        nodule=agreement.mention,
        finding=agreement.finding,
        basis=list(agreement.basis),
        message=agreement.message,
    )


def _sentence(text: str, sentence: Sentence) -> SentenceOut:
    return SentenceOut(
        span=sentence.span,
        text=_words(text, sentence.span),
        statements=[_statement(text, statement) for statement in sentence.statements],
        labels=None if sentence.labels is None else [_label(label) for label in sentence.labels],
    )


def _statement(text: str, statement: Statement) -> StatementOut:
    written = StatementOut(
        kind=statement.kind, value=statement.value, span=statement.span, text=_words(text, statement.span)
    )
    if statement.kind == "size":
        written["mm"] = list(statement.mm)
    if statement.kind in ("finding", "attenuation"):
        written["negated"], written["uncertain"] = statement.negated, statement.uncertain
    return written


def _label(label: Label) -> LabelOut:
    return LabelOut(label=label.name, probability=round(label.probability, 4))


def _nodule(text: str, mention: Mention) -> NoduleOut:
    return NoduleOut(
        sentence=mention.sentence,
        term=mention.term,
        span=mention.span,
        text=_words(text, mention.span),
        size_mm=mention.size_mm,
        lobes=list(mention.lobes),
        sides=list(mention.sides),
        attenuations=list(mention.attenuations),
        negated=mention.negated,
        uncertain=mention.uncertain,
        several=mention.several,
    )


def _words(text: str, span: Span) -> str:
    return text[span.start : span.end]
