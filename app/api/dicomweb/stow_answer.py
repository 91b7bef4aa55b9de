"""The answer to a STOW-RS request (PS3.18 10.5.3): what became of each instance, as DICOM JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

from app.errors import EmptyInput
from app.intake import ELEMENTS_DISCARDED, Instance, Intake

# Attributes of the answer by tag, as DICOM JSON names them, and how much of it is written at once.
RETRIEVE_URL: Final = "00081190"
FAILED_SOPS: Final = "00081198"
REFERENCED_SOPS: Final = "00081199"
OTHER_FAILURES: Final = "0008119A"
PIECE_BYTES: Final = 64 * 1024
Item = dict[str, dict[str, Any]]  # a data set as DICOM JSON


def answer_of(intake: Intake) -> tuple[HTTPStatus, list[bytes]]:
    """The status of the answer, and its data set as DICOM JSON in pieces (PS3.18 tables 10.5.3-1 and I.1-1); raises
    EmptyInput for a request without parts."""
    if not (intake.stored or intake.left_out or intake.failed):
        raise EmptyInput(found="no bytes", expected="DICOM instances", remedy="Check that the files were attached.")
    status = HTTPStatus.ACCEPTED if intake.left_out or intake.failed else HTTPStatus.OK
    if not (intake.stored or intake.left_out):
        status = HTTPStatus.CONFLICT
    acknowledged = chain(
        (_item(instance) for instance in intake.stored),
        (_item(instance, warning=ELEMENTS_DISCARDED) for instance in intake.left_out),
    )
    return status, list(
        pieces_of(
            {
                FAILED_SOPS: (_item(i, failure=reason) for i, reason in intake.failed if i.is_named),
                REFERENCED_SOPS: acknowledged,
                OTHER_FAILURES: (_failure(reason) for i, reason in intake.failed if not i.is_named),
            }
        )
    )


def pieces_of(sequences: Mapping[str, Iterator[Item]]) -> Iterator[bytes]:
    """A data set with these sequences by tag, as DICOM JSON (PS3.18 F.2) in pieces: no one of them takes long to write
    or to send. A sequence without items is left out."""
    written = ['{"' + RETRIEVE_URL + '":{"vr":"UR"}']  # of the stored study: sources are not kept
    size = 0
    for tag, items in sequences.items():
        between = ',"' + tag + '":{"vr":"SQ","Value":['
        for item in items:
            written.append(between + json.dumps(item))
            size += len(written[-1])
            between = ","
            if size > PIECE_BYTES:
                yield "".join(written).encode()
                written, size = [], 0
        if between == ",":
            written.append("]}")
    yield "".join([*written, "}"]).encode()


def _item(instance: Instance, *, failure: int | None = None, warning: int | None = None) -> Item:
    item: Item = {"00081150": _value("UI", instance.sop_class), "00081155": _value("UI", instance.uid)}
    if failure is not None:
        return item | _failure(failure)
    item[RETRIEVE_URL] = {"vr": "UR"}
    if warning is not None:
        item["00081196"] = _value("US", warning)
    return item


def _failure(reason: int) -> Item:
    return {"00081197": _value("US", reason)}


def _value(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}
