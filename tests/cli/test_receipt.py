"""`lungscope receipt verify`: a receipt of one process, checked and judged again by another in another environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from pydicom import dcmread

from app.audit.receipts import Conditions, Judged, Notary, Receipt, digest_of
from app.judgement.repetition import compare
from app.judgement.result_digest import result_bytes
from app.signing import SigningKey
from benchmarks.serving.service import MODELS, PATIENCE_S, Service
from tests.keys import write_key

REPOSITORY = Path(__file__).resolve().parents[2]
SLICE = REPOSITORY / "app" / "web" / "example-slice.dcm"
SERIES = REPOSITORY / "app" / "web" / "example-series.zip"


class Signed:
    """A service's answers with their receipts, and its key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        private, self.public = write_key(folder, "service")
        self.service = Service(environment={"LUNGSCOPE_SIGNING_KEY": str(private)})
        self.service.wait_until_ready()

    def answer(self, name: str, path: str, body: bytes, **headers: str) -> Path:
        """The file of an answer."""
        url = self.service.url(path)
        answered = urllib3.request("POST", url, body=body, headers=headers, timeout=float(PATIENCE_S))
        assert answered.status == 200, answered.data
        file = self.folder / name
        file.write_bytes(answered.data)
        return file


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    signed = Signed(tmp_path_factory.mktemp("receipts"))
    yield signed
    signed.service.process.terminate()
    assert signed.service.end() == 0


@pytest.fixture(scope="module")
def answered(signed: Signed) -> Path:
    return signed.answer("slice.json", "/v1/predict?roi=148,240", SLICE.read_bytes(), **{"Accept-Language": "zh"})


def verify(signed: Signed, file: Path, *options: str, models: Path = MODELS) -> subprocess.CompletedProcess[str]:
    """In a process with little of this one's environment, another folder, language, time zone and number of threads."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONHASHSEED": "7",
        "LANG": "C",
        "TZ": "Asia/Shanghai",
        "LUNGSCOPE_THREADS": "2",
        "LUNGSCOPE_MODELS_DIR": str(models),
    }
    command = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())", "receipt", "verify"]
    return subprocess.run(
        [*command, str(file), "--key", str(signed.public), *options],
        cwd=signed.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_process_finds_the_same_bit_for_bit(signed: Signed, answered: Path) -> None:
    # As a person keeps it: laid out anew.
    answered.write_text(json.dumps(json.loads(answered.read_bytes()), indent=2, ensure_ascii=False), "utf-8")
    done = verify(signed, answered, "--image", str(SLICE))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("signature: genuine, by key ")
    assert lines[1:] == [
        "answer: as it was signed",
        "models: those that were signed",
        "image: the one that was judged",
        "result: equal bit for bit, on the same processor, runtime and code",
    ]


@pytest.mark.parametrize("query", ["", "?second_opinion=true"])
def test_a_whole_series_is_judged_again_from_its_zip_and_from_its_folder(
    signed: Signed, tmp_path: Path, query: str
) -> None:
    path = f"/v1/studies{query}"
    file = signed.answer("series.json", path, SERIES.read_bytes(), **{"Content-Type": "application/zip"})
    shutil.unpack_archive(SERIES, tmp_path)
    (tmp_path / "notes.txt").write_text("not of the series")
    for image in (SERIES, tmp_path):
        done = verify(signed, file, "--image", str(image))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "result: equal bit for bit" in done.stdout


def test_without_image_the_signature_and_the_answer_are_checked(signed: Signed, answered: Path, tmp_path: Path) -> None:
    assert verify(signed, answered).returncode == 0
    alone = tmp_path / "receipt.json"
    alone.write_text(json.dumps(json.loads(answered.read_bytes())["receipt"]))
    assert verify(signed, alone).returncode == 0
    forged = tmp_path / "forged.json"
    forged.write_text(answered.read_text("utf-8").replace('"cancer_suspected"', '"normal"'), "utf-8")
    done = verify(signed, forged)
    assert done.returncode == 1
    assert "answer: NOT the one that was signed" in done.stdout


def test_a_wrong_image_fails(signed: Signed, answered: Path, tmp_path: Path) -> None:
    other = dcmread(SLICE)
    other.decompress()
    pixels = other.pixel_array.copy()
    pixels[0, 0] += 1
    other.PixelData = np.ascontiguousarray(pixels).tobytes()
    other.save_as(tmp_path / "other.dcm")
    done = verify(signed, answered, "--image", str(tmp_path / "other.dcm"))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "image: ANOTHER than the one that was judged")


def test_a_wrong_model_fails(signed: Signed, answered: Path, tmp_path: Path) -> None:
    shutil.copytree(MODELS, tmp_path / "models")
    manifest = tmp_path / "models" / "chest-view" / "1" / "manifest.json"
    manifest.write_text(
        manifest.read_text("utf-8").replace('"description": "', '"description": "Another. ', 1), "utf-8"
    )
    done = verify(signed, answered, "--image", str(SLICE), models=tmp_path / "models")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "models: OTHERS than signed: chest-view/1")


def test_a_wrong_key_and_what_is_no_receipt_fail(signed: Signed, answered: Path, tmp_path: Path) -> None:
    _, stranger = write_key(tmp_path, "stranger")
    done = verify(signed, answered, "--key", str(stranger))
    assert (done.returncode, "signature: FALSE" in done.stdout) == (1, True)
    (tmp_path / "none.json").write_text("{}")
    done = verify(signed, tmp_path / "none.json")
    assert (done.returncode, "no receipt of version 1" in done.stderr) == (1, True)


ANSWER: dict[str, Any] = {
    "request_id": "an id",
    "decision": "normal",
    "probability": 0.25,
    "findings": [{"center_px": [10.0, 20.0], "probability": 0.25, "outline_px": [[1.0, 2.0]], "diameter_mm": 8.31}],
    "timing_ms": {"total": 3.1},
}


def receipt_of(answer: dict[str, Any], tmp_path: Path) -> Receipt:
    key = SigningKey.read(write_key(tmp_path, "own")[0])
    judged = Judged("an id", "sha256:aa", {}, {}, digest_of(result_bytes(answer)))
    return Receipt.read(Notary(key, lambda: Conditions({}, {}, {})).receipt(judged, 0.0))


@pytest.mark.parametrize(
    ("change", "verdict", "says"),
    [
        ({}, "equal", ""),
        ({"request_id": "another", "timing_ms": {"total": 9.0}}, "equal", ""),
        ({"probability": 0.2507}, "within tolerance", ""),
        ({"probability": 0.27}, "differs", "probability: 0.25 signed, 0.27 now"),
        ({"probability": None}, "differs", "probability: another value"),
        ({"decision": "cancer_suspected"}, "differs", "decision: another value"),
        ({"findings": []}, "differs", "findings: 1 signed, 0 now"),
        ({"reasons": ["x"]}, "differs", "the answer: other members"),
        ({"findings": [ANSWER["findings"][0] | {"diameter_mm": 8.32, "outline_px": []}]}, "within tolerance", ""),
        ({"findings": [ANSWER["findings"][0] | {"diameter_mm": 9.0}]}, "differs", "findings[0].diameter_mm: 8.31"),
    ],
)
def test_elsewhere_numbers_may_differ_by_the_tolerance(
    change: dict[str, Any], verdict: str, says: str, tmp_path: Path
) -> None:
    comparison = compare(receipt_of(ANSWER, tmp_path), ANSWER, ANSWER | change, 0.001)
    assert comparison.verdict == verdict
    assert says in " ".join(comparison.differences)


def test_without_the_answer_only_the_digest_can_agree(tmp_path: Path) -> None:
    receipt = receipt_of(ANSWER, tmp_path)
    assert compare(receipt, None, ANSWER, 0.001).verdict == "equal"
    assert compare(receipt, None, ANSWER | {"probability": 0.2501}, 0.001).verdict == "differs"
