"""How a bundle gets into its folder, whatever it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import BundleError
from app.inference.bundle import CARD_FILE, VerifiedManifest, read_verified
from training.reporting.bundles import identity_of, write_bundle

GRAPH = "saved_model.pb"


def write(folder: Path, content: str, *, force: bool = False, card: str = "# a card") -> VerifiedManifest:
    """A bundle whose only file holds `content`."""

    def fill(part: Path) -> VerifiedManifest:
        (part / GRAPH).write_text(content)
        return VerifiedManifest(description="none", intended_use="none", **identity_of(folder, part))

    def write_card(path: Path, manifest: VerifiedManifest) -> None:
        path.write_text(f"{card} of {manifest.name}")

    return write_bundle(folder, fill, write_card, force=force)


def test_a_bundle_says_who_it_is_and_matches_its_digests(tmp_path: Path) -> None:
    folder = tmp_path / "some-model" / "3"
    written = write(folder, "a graph")
    assert (written.name, written.version, set(written.digests)) == ("some-model", 3, {GRAPH})
    assert read_verified(folder, VerifiedManifest)[0] == written
    assert (folder / CARD_FILE).read_text() == "# a card of some-model"


def test_a_bundle_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "some-model" / "1"
    write(folder, "the old graph")
    with pytest.raises(BundleError, match="which is there already"):
        write(folder, "a new graph")
    assert (folder / GRAPH).read_text() == "the old graph"
    write(folder, "a new graph", force=True)
    assert (folder / GRAPH).read_text() == "a new graph"


def test_what_fails_half_way_leaves_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "some-model" / "1"
    write(folder, "the old graph")

    def fill(part: Path) -> VerifiedManifest:
        (part / GRAPH).write_text("half of")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_bundle(folder, fill, lambda *_: None, force=True)
    assert (folder / GRAPH).read_text() == "the old graph"
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
