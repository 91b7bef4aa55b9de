"""Workitems of another performer, in each state, and what is warned of."""

from __future__ import annotations

from itertools import count
from typing import Any

from phantoms.slices import derived_uid
from tests.api.dicomweb.ups_client import (
    Dataset,
    UpsClient,
    discontinued,
    input_item,
    performed,
    workitem,
)

NOWHERE = "http://127.0.0.1:9/dicom-web"
MINE, OTHERS = "1.2.826.1", "1.2.826.2"  # Transaction UIDs
NUMBERS = count()
SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"


def others() -> Dataset:
    return workitem(input_item("1.2.3"), station="SOMEBODY")


def in_state(worklist: UpsClient, state: str) -> str:
    """The UID of a workitem of another performer in this state, owned by MINE once it is claimed."""
    uid = derived_uid(f"workitem {next(NUMBERS)}")
    assert worklist.create(uid, others()).status_code == 201
    if state == SCHEDULED:
        return uid
    assert worklist.change_state(uid, IN_PROGRESS, MINE).status_code == 200
    if state != IN_PROGRESS:
        assert worklist.update(uid, performed() | discontinued(), MINE).status_code == 200
        assert worklist.change_state(uid, state, MINE).status_code == 200
    return uid


def warned(answer: Any) -> str:
    warning = answer.headers["warning"]
    assert warning.startswith('299 lungscope "')
    return str(warning[15:-1])
