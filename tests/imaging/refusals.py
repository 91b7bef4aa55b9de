"""How a test expects a file to be refused."""

from __future__ import annotations

from typing import TypeVar

import pytest

from app.errors import InputError
from app.imaging.options import ReadOptions
from app.imaging.read import read_slice
from phantoms.slices import SECRET_ID, SECRET_NAME, derived_uid

SECRETS = (SECRET_NAME, SECRET_ID, *(derived_uid(name) for name in ("instance", "series", "study")))
Refusal = TypeVar("Refusal", bound=InputError)


def refused(data: bytes, error: type[Refusal], options: ReadOptions | None = None) -> Refusal:
    """The error of exactly this class that reading raises; it explains itself and tells nothing of the patient."""
    with pytest.raises(error) as caught:
        read_slice(data, options)
    assert caught.type is error
    assert_explains(caught.value)
    return caught.value


def assert_explains(error: InputError) -> None:
    text = str(error)
    assert all(part and part in text for part in (error.found, error.expected, error.remedy))
    assert not any(secret in text for secret in SECRETS)
