"""`lungscope accept` on generated cases and a bundle of two steps: record, signature, a new version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from app import cli
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.bundle import MANIFEST_FILE, load_bundle
from app.inference.model import Model
from app.inference.signatures import is_signed
from phantoms.site import write_site
from tests.keys import write_key
from tests.training.conftest import TinyRun
from training.reporting.acceptance_record import PAGE_FILE, RECORD_FILE, Record
from training.reporting.bundles import run_graph
from training.reporting.phantom import lung_phantom
from training.reporting.predictions_table import PREDICTIONS_TABLE
from training.reporting.recalibrated import weight_digests


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of 24 generated patients with 48 nodules."""
    return write_site(tmp_path_factory.mktemp("site"), 24)


@pytest.fixture(scope="module")
def accepted(tiny_run: TinyRun, site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """What the command leaves behind, with a key and a recalibrated version, and its exit code."""
    folder = tmp_path_factory.mktemp("accepted")
    private, _ = write_key(folder, "own")
    given = ["--bundle", str(tiny_run.bundle), "--data", str(site), "--out", str(folder / "record")]
    given += [
        "--recalibrate",
        str(folder / "tiny-classifier" / "2"),
        "--key",
        str(private),
        "--tested-by",
        "A. Tester",
        "--by",
        "sex",
    ]
    return folder, cli.main(["accept", *given])


@pytest.fixture(scope="module")
def record(accepted: tuple[Path, int]) -> Record:
    return Record.model_validate_json((accepted[0] / "record" / RECORD_FILE).read_text("utf-8"))


def test_the_record_says_what_was_tested_by_which_digests(
    tiny_run: TinyRun, site: Path, accepted: tuple[Path, int], record: Record
) -> None:
    folder, code = accepted
    assert code == (cli.OK if record.acceptance.decision == "accepted" else cli.SOME_FAILED)
    assert record.inventory.digest == load_bundle(tiny_run.bundle).digest
    assert record.inventory.lineage == load_bundle(tiny_run.bundle).manifest.lineage
    assert record.cases.table == f"sha256:{hashlib.sha256(site.read_bytes()).hexdigest()}"
    assert (record.cases.nodules, record.cases.patients, record.cases.suspicious) == (48, 24, 24)
    assert record.tested_by == "A. Tester"
    assert record.test_again_by > record.created.date()
    assert {group.axis for group in record.subgroups} >= {"diameter", "manufacturer"}
    assert {g.name: g.nodules for g in record.subgroups if g.axis == "sex"} == {"F": 24, "M": 24}
    assert any("Columns that are not read: sex" in text for text in record.cases.warnings)
    assert (folder / "record" / PREDICTIONS_TABLE).is_file()


def test_the_page_names_every_check_and_the_digest_of_the_record(accepted: tuple[Path, int], record: Record) -> None:
    page = (accepted[0] / "record" / PAGE_FILE).read_text("utf-8")
    digest = hashlib.sha256((accepted[0] / "record" / RECORD_FILE).read_bytes()).hexdigest()
    assert f"sha256:{digest}" in page
    for check in record.acceptance.checks:
        assert f"<td>{check.name}</td>" in page
    assert "Not a medical device" in page
    assert "P000" not in page  # no patient is named


def test_record_and_new_version_are_signed(accepted: tuple[Path, int]) -> None:
    folder, public = accepted[0], accepted[0] / "own.pub"
    assert is_signed(folder / "record" / RECORD_FILE, public)
    assert is_signed(folder / "tiny-classifier" / "2" / MANIFEST_FILE, public)


def test_the_new_version_has_the_same_weights_and_its_parent(
    tiny_run: TinyRun, accepted: tuple[Path, int], record: Record
) -> None:
    old, new = load_bundle(tiny_run.bundle), load_bundle(accepted[0] / "tiny-classifier" / "2")
    assert weight_digests(old.path) == weight_digests(new.path)
    assert new.manifest.lineage is not None
    assert new.manifest.lineage.parent is not None
    assert (new.manifest.lineage.parent.digest, new.manifest.version) == (old.digest, 2)
    assert old.manifest.lineage is not None
    assert new.manifest.lineage.run == old.manifest.lineage.run
    assert record.recalibrated is not None
    assert record.recalibrated.digest == new.digest
    assert "site_ece" in new.manifest.performance.figures
    assert "ece" not in new.manifest.performance.figures  # the parent's was of another calibration


def test_the_new_graph_differs_in_its_probability_only_and_openvino_agrees(
    tiny_run: TinyRun, accepted: tuple[Path, int]
) -> None:
    new = load_bundle(accepted[0] / "tiny-classifier" / "2")
    # Nodules like those of the data: of anything else two steps of training may be sure beyond float32.
    spec = new.manifest.input.patch_spec
    hu = np.stack([lung_phantom(spec, diameter_mm=mm) for mm in (6.0, 8.0, 10.0)]).astype(np.float32)
    before, after = run_graph(tiny_run.bundle, hu), run_graph(new.path, hu)
    for name in set(before) - {"malignancy"}:
        np.testing.assert_array_equal(before[name], after[name])
    assert not np.allclose(before["malignancy"], after["malignancy"], atol=1e-3)
    order = np.argsort(before["malignancy"])
    assert (np.diff(after["malignancy"][order]) >= 0).all()
    backend = OpenVINOBackend(1)
    Model.load(new, backend)
    np.testing.assert_allclose(backend.run(hu[..., None])["malignancy"], after["malignancy"], atol=1e-4)


def test_a_version_that_is_there_is_refused_before_anything_is_measured(
    tiny_run: TinyRun, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--bundle", str(tiny_run.bundle), "--data", str(site), "--out", str(tmp_path / "record")]
    assert cli.main(["accept", *given, "--recalibrate", str(tiny_run.bundle)]) == cli.CANNOT_START
    assert "tiny-classifier/1, which is there already" in capsys.readouterr().err
    assert cli.main(["accept", *given, "--recalibrate", str(tmp_path / "other" / "2")]) == cli.CANNOT_START
    assert "…/tiny-classifier/<integer>" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_table_or_key_that_is_none_ends_with_one_line(
    tiny_run: TinyRun, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--bundle", str(tiny_run.bundle), "--out", str(tmp_path / "record"), "--data"]
    assert cli.main(["accept", *given, str(tmp_path / "none.csv")]) == cli.CANNOT_START
    assert "Point --data" in capsys.readouterr().err
    assert cli.main(["accept", *given, str(site), "--by", "age"]) == cli.CANNOT_START
    assert "no column 'age' in nodules.csv" in capsys.readouterr().err
    assert cli.main(["accept", *given, str(site), "--key", str(tmp_path / "none.pem")]) == cli.CANNOT_START
    assert "openssl genpkey" in capsys.readouterr().err


def test_without_the_train_extra_it_says_what_to_install(
    tiny_run: TinyRun, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cli.accept.find_spec", lambda _name: None)
    given = ["--bundle", str(tiny_run.bundle), "--out", str(tmp_path), "--data", str(site)]
    assert cli.main(["accept", *given]) == cli.CANNOT_START
    assert "pip install 'lungscope[train]'" in capsys.readouterr().err


def test_a_trusted_key_is_asked_for_before_the_bundle_is_loaded(
    tiny_run: TinyRun, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, public = write_key(tmp_path, "own")
    monkeypatch.setenv("LUNGSCOPE_TRUSTED_KEY", str(public))
    given = ["--bundle", str(tiny_run.bundle), "--out", str(tmp_path / "record"), "--data", str(site)]
    assert cli.main(["accept", *given]) == cli.CANNOT_START
    assert "no signature" in capsys.readouterr().err


def test_the_record_is_json_that_others_read(accepted: tuple[Path, int]) -> None:
    said = json.loads((accepted[0] / "record" / RECORD_FILE).read_text("utf-8"))
    assert said["kind"] == "lungscope-acceptance/1"
    assert {check["verdict"] for check in said["acceptance"]["checks"]} <= {
        "passed",
        "failed",
        "too few cases",
        "no claim",
    }
