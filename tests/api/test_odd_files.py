"""Files that are odd but can mean one thing only, by every door: a slice, a series, DICOMweb and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL, JPEGLSLossless
from starlette.testclient import TestClient

from app.cli import main
from app.inference import registry
from app.main import create_app
from app.settings import Settings
from phantoms.series import NODULE, SLICES, slice_file
from phantoms.slices import PixelCoding
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb.test_dicomweb import post, results
from tests.fakes import ArithmeticModels, arithmetic_backends, write_models
from tests.imaging.test_odd_values import DELIMITER, with_value

Odd = Callable[[bytes], bytes]


def preamble(data: bytes) -> bytes:
    return b"PK\3\4" + data[4:]


def unended(data: bytes) -> bytes:
    assert data.endswith(DELIMITER)
    return data[: -len(DELIMITER)]


def value(keyword: str, written: bytes) -> Odd:
    return lambda data: with_value(data, keyword, value=written)


ODD: dict[str, tuple[PixelCoding, Odd, str | None]] = {
    "HTJ2K lossless": (PixelCoding(transfer_syntax=HTJ2KLossless), bytes, None),
    "HTJ2K RPCL": (PixelCoding(transfer_syntax=HTJ2KLosslessRPCL), bytes, None),
    "HTJ2K": (PixelCoding(True, 16, 1, 0, HTJ2K), bytes, None),
    "no delimiter": (PixelCoding(transfer_syntax=JPEGLSLossless), unended, "pixel_data_unended"),
    "a zip's preamble": (PixelCoding(), preamble, None),
    "thickness": (PixelCoding(), value("SliceThickness", b"2,5"), "decimal_comma_read"),
    "no thickness": (PixelCoding(), value("SliceThickness", b"thin"), "attribute_ignored"),
    "frames": (PixelCoding(transfer_syntax=JPEGLSLossless), value("NumberOfFrames", b"0"), "attribute_ignored"),
    "spacing": (PixelCoding(), value("PixelSpacing", b"2,8\\2,8"), "decimal_comma_read"),
}


SOME = ("HTJ2K", "no delimiter", "a zip's preamble", "frames")  # one of each kind, where a case takes seconds


def files(odd: str) -> list[bytes]:
    coding, change, _ = ODD[odd]
    return [change(slice_file(n, coding=coding)) for n in range(SLICES)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    app = create_app(Settings(models_dir=folder), backends=arithmetic_backends())
    with TestClient(app) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize("odd", ODD)
def test_a_slice_is_judged(client: TestClient, odd: str) -> None:
    roi = ",".join(map(str, NODULE.centre_px))
    slices = [slice_file(8), files(odd)[8]]
    usual, answer = (client.post(f"/v1/predict?roi={roi}", content=data).json() for data in slices)
    assert answer["decision"] == usual["decision"] == "cancer_suspected"
    assert answer["findings"] == usual["findings"]
    assert ODD[odd][2] in {None, *(note["code"] for note in answer["quality"])}


@pytest.mark.parametrize("odd", ODD)
def test_a_series_is_judged(client: TestClient, odd: str) -> None:
    parts = [("files", (f"{n}.dcm", data, "application/dicom")) for n, data in enumerate(files(odd))]
    answer = client.post("/v1/studies", files=parts).json()
    assert answer["decision"] == "cancer_suspected"
    assert ODD[odd][2] in {None, *(note["code"] for note in answer["quality"])}


@pytest.mark.parametrize("odd", ["HTJ2K", "no thickness"])
@pytest.mark.parametrize("accept", ["application/dicom", "application/fhir+json", "image/png"])
def test_a_slice_is_rendered(client: TestClient, odd: str, accept: str) -> None:
    response = client.post("/v1/predict", content=files(odd)[8], headers={"accept": accept})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("odd", SOME)
def test_what_comes_by_dicomweb_is_judged(tmp_path: Path, odd: str) -> None:
    write_models(tmp_path)
    settings = Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", settle_seconds=0)
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app) as client:
        wait_until_ready(client)
        status, answer = post(client, files(odd))
        assert (status, "FailedSOPSequence" in answer) == (200, False)
        assert [one for one in results(client, 4) if one["00080060"]["Value"] == ["SR"]]


@pytest.mark.parametrize("odd", SOME)
def test_a_folder_is_judged(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_models(tmp_path / "models")
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(registry, "create_backend", lambda _name, _threads: ArithmeticModels())
    folder = tmp_path / "scan"
    folder.mkdir()
    for n, data in enumerate(files(odd)):
        (folder / f"{n}.dcm").write_bytes(data)
    assert main(["predict", str(folder), "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    answer = json.loads(line)
    assert answer["decision"] == "cancer_suspected"
    assert ODD[odd][2] in {None, *(note["code"] for note in answer["quality"])}
