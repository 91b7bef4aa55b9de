"""Compare two series of one patient."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response

from app import telemetry
from app.api.connected import while_connected
from app.api.contract import CONTEXT_PART, query_parameters
from app.api.deps import LanguageDep, PlaceDep, Services, ServicesDep, actor_of, authorise
from app.api.negotiation import LANGUAGE_PARAMETER, SERIES_CONTENT, comparison_format, response
from app.api.problems import responses_for
from app.api.routes import studies
from app.api.uploads.pair import PARTS, PairUpload, Part, read_pair
from app.api.uploads.series import decode
from app.errors import FileMissing, InputError, UnfitPair, UnreadableText
from app.inference.series_lane import SeriesSlot
from app.inference.vocabulary import Language
from app.judgement.answers import json_answer
from app.judgement.comparing import JudgedScan, ReadScan, compared, judged_scan, read_scan, require_pair
from app.judgement.comparison_answers import ComparisonAnswer
from app.judgement.comparison_formats import render_comparison
from app.judgement.formats import Format
from app.judgement.parameters import KNOWN_OF_COMPARISON, Parameters, parse_comparison_parameters, require_fhir
from app.judgement.records import Actor

router = APIRouter(prefix="/v1", tags=["predict"], dependencies=[Depends(authorise)])

FILES: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string", "format": "binary"}}
REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "Two CT series of one patient, each as its DICOM files in any order or as one zip of them.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["current", "prior"],
                "properties": {
                    "current": {**FILES, "description": "The later series: DICOM files, or one zip."},
                    "prior": {**FILES, "description": "The earlier series: DICOM files, or one zip."},
                    "context": CONTEXT_PART,
                },
            }
        }
    },
}
QUERY: Final = query_parameters(KNOWN_OF_COMPARISON)
OF_OTHERS: Final = (
    *(kind for kind in studies.OF_OTHERS if kind is not UnfitPair),
    *(FileMissing, UnreadableText),
)
DESCRIPTION: Final = (
    "Post two CT series of one patient. Each is judged as by `/v1/studies`. The lungs of the earlier one are laid over "
    "those of the later one, nodules at one place are taken for one, and of each the answer says how its volume has "
    "changed, whether that is growth, and in how many days it doubles. Where the search has found one in one series "
    "alone, the other is measured at its place before it is called new or gone. `guidelines` are asked about "
    "the later series beside the earlier one.\n\n"
    "`Accept` chooses the format: JSON, a structured report as DICOM, a FHIR bundle, or a page for people as HTML or "
    "PDF, on which each nodule is shown now and before.\n\n"
    "Two series whose headers name different patients, or a prior that is the later one, are refused. To go away stops "
    "the work."
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Both series, the parameters, format and language of the answer, who asked, and when the request began."""

    upload: PairUpload
    parameters: Parameters
    format: Format
    language: Language
    actor: Actor
    request_id: str
    began: float


@router.post(
    "/comparisons",
    summary="Compare two CT series",
    description=DESCRIPTION,
    response_model=ComparisonAnswer,
    responses={
        200: {"description": "Both judgements, and what has changed.", "content": SERIES_CONTENT},
        **responses_for(400, 406, 408, 413, 415, 422, 503, 507, 500, without=OF_OTHERS),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": [*QUERY, LANGUAGE_PARAMETER]},
)
async def compare_series(request: Request, services: ServicesDep, language: LanguageDep, place: PlaceDep) -> Response:
    """Receive both series; then, in a place for one, read both, judge one after the other, and compare them."""
    began = time.perf_counter()
    wanted = comparison_format(request)
    services.records.require()
    upload = await read_pair(request, services.study_limit, services.settings.max_parts)
    parameters = parse_comparison_parameters(upload.parameters)
    require_fhir(parameters, wanted)
    asked = _Asked(upload, parameters, wanted, language, actor_of(request), telemetry.request_id.get() or "", began)
    slot = place()
    try:
        written = await while_connected(request, slot, slot.run(lambda: _answer(services, slot, asked)))
    finally:
        slot.close()  # however long the client takes to read the answer
    return response(wanted, written, language)


def _answer(services: Services, slot: SeriesSlot, asked: _Asked) -> tuple[bytes, ...]:
    read = [_read(services, slot, asked, part) for part in PARTS]
    require_pair(*read)  # what is refused costs no judgement
    current, prior = (_judged(services, slot, asked, each) for each in read)
    started = time.perf_counter()
    pair = compared(current, prior, asked.parameters)
    timing_ms = {"compare": _since_ms(started), "total": _since_ms(asked.began)}
    return render_comparison(pair, asked.format, asked.language, asked.request_id, timing_ms, services.metrics)


def _read(services: Services, slot: SeriesSlot, asked: _Asked, part: Part) -> ReadScan:
    """One of both, decoded. Errors say which."""
    builder = services.judge.builder(Parameters(), keep_headers=True)
    try:
        volume, decode_ms = decode(asked.upload.files[part], builder, slot.cancelled)
    except InputError as error:
        raise type(error)(found=f"{error.found}, of {part}", expected=error.expected, remedy=error.remedy) from None
    return read_scan(volume, builder.headers, decode_ms, builder.input_digest)


def _judged(services: Services, slot: SeriesSlot, asked: _Asked, scan: ReadScan) -> JudgedScan:
    began = time.perf_counter() - scan.decode_ms / 1000  # so that its total is what it took to read and to judge it
    judgement = services.judge.series(
        scan.volume, Parameters(), scan.decode_ms, _tell_nobody, slot.cancelled, began, scan.input_digest
    )
    records, language = services.records, asked.language
    if records.kept:
        answer = records.judged("judge_series", asked.actor, judgement, language, asked.request_id).answer
    else:
        answer = json_answer(judgement, language, asked.request_id)
    reader = services.judge.reader(scan.volume)
    return judged_scan(judgement, json.loads(answer), scan.facts, reader, slot.cancelled, scan.headers)


def _tell_nobody(_stage: str, _done: int, _of: int) -> None:
    pass


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
