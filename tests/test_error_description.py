"""What is said of an error in a table: never what an error that nobody foresaw says itself."""

from __future__ import annotations

import pytest

from app.errors import DecoderUnavailable, MalformedDicom
from app.errors.description import described
from phantoms.slices import SECRET_NAME

GIVEN = {"found": "this", "expected": "that", "remedy": "Do it."}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MalformedDicom(**GIVEN), "malformed_dicom", "Found this; expected that. Do it."),
        (DecoderUnavailable(**GIVEN), "decoder_unavailable", "Found this; expected that. Do it."),
        (
            FileNotFoundError(2, "No such file or directory", SECRET_NAME),
            "unreadable_file",
            "No such file or directory",
        ),
        (OSError(), "unreadable_file", "cannot be read"),
        (ValueError(SECRET_NAME), "internal_error", "ValueError at an unknown place; this is a bug"),
    ],
)
def test_an_error_has_a_code_and_a_text_without_patient_data(error: Exception, code: str, text: str) -> None:
    assert described(error) == (code, text)


def test_an_error_that_nobody_foresaw_is_named_by_its_place() -> None:
    with pytest.raises(KeyError) as raised:
        _ = dict[str, int]()[SECRET_NAME]
    code, text = described(raised.value)
    assert code == "internal_error"
    assert text.startswith("KeyError at test_error_description.py:")
    assert SECRET_NAME not in text
