"""Which versions are wanted after each change, and how that is kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.errors import InvalidParameter, SettingsError, UnknownVersion, VersionInUse
from app.versions.state_file import StateFile
from app.versions.wanted import Versions, Wanted, judging, rolled_back, with_label, with_loaded, without


def versions(**labels: str) -> Versions:
    """By label: stable="1" says that version 1 has it."""
    return {number: Wanted(label, f"sha256:{number}") for label, number in labels.items()}


def labels(found: Versions) -> dict[str, str]:
    return {number: each.label for number, each in found.items()}


def test_a_version_that_is_loaded_is_a_canary_and_loading_it_again_changes_nothing() -> None:
    loaded = with_loaded(versions(stable="1"), "2", "sha256:2")
    assert labels(loaded) == {"1": "stable", "2": "canary"}
    assert loaded["2"].digest == "sha256:2"
    assert with_loaded(loaded, "1", "another") == loaded


def test_what_judged_is_kept_as_previous_and_the_one_before_it_goes() -> None:
    second = with_label(versions(stable="1", canary="2"), "2", "stable")
    assert labels(second) == {"1": "previous", "2": "stable"}
    third = with_label(with_loaded(second, "3", "sha256:3"), "3", "stable")
    assert labels(third) == {"2": "previous", "3": "stable"}
    assert judging(third) == "3"


def test_a_rollback_has_both_change_places_and_another_undoes_it() -> None:
    second = with_label(versions(stable="1", canary="2"), "2", "stable")
    back = rolled_back(second)
    assert labels(back) == {"1": "stable", "2": "previous"}
    assert rolled_back(back) == second
    with pytest.raises(UnknownVersion, match="no version that judged before"):
        rolled_back(versions(stable="1", canary="2"))


def test_a_label_is_of_one_version() -> None:
    both = with_loaded(versions(stable="1", shadow="2"), "3", "sha256:3")
    assert labels(with_label(both, "3", "shadow")) == {"1": "stable", "2": "canary", "3": "shadow"}
    assert with_label(both, "2", "shadow") == both
    assert labels(with_label(both, "2", "canary")) == {"1": "stable", "2": "canary", "3": "canary"}


def test_something_judges_always() -> None:
    own = versions(stable="1", canary="2")
    with pytest.raises(VersionInUse):
        without(own, "1")
    with pytest.raises(VersionInUse):
        with_label(own, "1", "shadow")
    with pytest.raises(InvalidParameter, match="previous"):
        with_label(own, "2", "previous")
    with pytest.raises(UnknownVersion):
        without(own, "3")
    with pytest.raises(UnknownVersion):
        with_label(own, "3", "stable")
    assert labels(without(own, "2")) == {"1": "stable"}


def test_what_is_kept_is_read_again_and_private(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "versions")
    assert (file.read(), file.stamp()) == ({}, None)
    own = versions(stable="1", previous="2")
    file.write({"nodule-classifier": own})
    first = file.stamp()
    assert StateFile(tmp_path / "versions").read() == {"nodule-classifier": own}
    file.write({"nodule-classifier": rolled_back(own)})
    assert file.stamp() != first
    (kept,) = (tmp_path / "versions").glob("*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"m": {"1": {"label": "stable"}}}',
        '{"m": {"1": {"label": "canary", "digest": "d"}}}',
        '{"m": {"1": {"label": "stable", "digest": "d"}, "2": {"label": "stable", "digest": "d"}}}',
    ],
)
def test_a_file_that_is_not_ours_is_said(tmp_path: Path, content: str) -> None:
    file = StateFile(tmp_path)
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(SettingsError, match="versions that are wanted"):
        file.read()


def test_a_write_that_was_cut_short_leaves_what_was_there(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.write({"m": versions(stable="1")})
    (tmp_path / "versions.part").write_text('{"m": {"2"')  # as a killed process leaves it
    assert file.read() == {"m": versions(stable="1")}
    file.write({"m": versions(stable="2")})
    assert file.read() == {"m": versions(stable="2")}
