"""Names of studies, accession numbers and patients in logs."""

from __future__ import annotations

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.security.pseudonyms import KEY_BYTES, KEY_FILE, load_key, pseudonym

KEY = bytes(range(KEY_BYTES))
OTHER = bytes(KEY_BYTES)
text = st.text(min_size=1).filter(lambda value: value.strip(" \0") == value)


def test_it_is_the_hmac_that_anybody_with_the_key_computes() -> None:
    expected = hmac.new(KEY, b"accession\0A-123", hashlib.sha256).hexdigest()[:16]
    assert pseudonym(KEY, "accession", "A-123") == expected


@given(text, text)
def test_each_value_kind_and_key_has_a_name_of_its_own(one: str, other: str) -> None:
    name = pseudonym(KEY, "study", one)
    assert (name == pseudonym(KEY, "study", other)) == (one == other)
    assert name != pseudonym(KEY, "series", one)
    assert name != pseudonym(OTHER, "study", one)


def test_kind_and_value_cannot_be_moved_into_each_other() -> None:
    assert pseudonym(KEY, "study", "1.2") != pseudonym(KEY, "stud", "y1.2")


@pytest.mark.parametrize("padded", ["1.2.3\0", " 1.2.3", "1.2.3  "])
def test_padding_of_a_dicom_value_does_not_count(padded: str) -> None:
    assert pseudonym(KEY, "study", padded) == pseudonym(KEY, "study", "1.2.3")


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_key(tmp_path), range(32)))
    assert len(keys) == 1
    assert keys == {load_key(tmp_path)}
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(KEY)
    (tmp_path / KEY_FILE).chmod(0o644)
    assert load_key(tmp_path) == KEY
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("length", [0, 16, 33])
def test_a_damaged_key_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / KEY_FILE).write_bytes(bytes(length))
    with pytest.raises(SettingsError, match=f"a key of {length} bytes"):
        load_key(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        load_key(tmp_path / "nowhere")
