"""What DICOMweb asks of an origin server beside the results themselves: formats, frames, pictures, other origins, and a
proxy that shows it below a path."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import set_pixel_data  # type: ignore[attr-defined]  # it is exported without saying so
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from starlette.testclient import TestClient

from app.api.dicomweb.native_xml import NAMESPACE
from app.delivery.database.store import ResultStore
from app.errors import SettingsError
from app.main import create_app
from app.reports.frames import Frames
from app.reports.result import ResultObject
from app.security.scopes import OPERATIONS
from app.settings import Settings
from tests.fakes import arithmetic_backends, write_models

ORIGIN: Final = "https://viewer.example"
RGB: Final = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
STUDY: Final = "/dicom-web/studies/1.2"
INSTANCE: Final = f"{STUDY}/series/1.3/instances/1.4"


def picture() -> Dataset:
    """A secondary capture of a patient with a name in two scripts."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2", "1.3"
    dataset.Modality, dataset.PatientName = "OT", "Wang^Xiaodong=王^小东"
    dataset.ReferencedStudySequence = [Dataset()]
    dataset.ReferencedStudySequence[0].ReferencedSOPInstanceUID = "1.9"
    set_pixel_data(dataset, RGB, "RGB", bits_stored=8)
    dataset.SOPInstanceUID = "1.4"  # it was given another
    return dataset


def file_of(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and one result that was made earlier."""
    folder = tmp_path_factory.mktemp("manners")
    write_models(folder)
    (folder / "state").mkdir()
    content = file_of(picture())
    attributes = dcmread(BytesIO(content), stop_before_pixels=True).to_json()
    result = ResultObject("1.4", "dicom", "1.2", "1.3", attributes, content)
    ResultStore(folder / "state" / "results.sqlite3").put("claim", [result], {}, now=0, expires_at=4e9)
    return folder


def served(folder: Path, **settings: Any) -> TestClient:
    given = Settings(models_dir=folder, spool_dir=folder / "state", threads=1, **settings)
    return TestClient(create_app(given, backends=arithmetic_backends()), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with served(folder, cors_origins=frozenset({ORIGIN}), api_token="t" * 16) as client:
        client.headers["Authorization"] = f"Bearer {'t' * 16}"
        yield client


def parts_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Type and content of each part, as another reader of MIME sees them."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=policy.HTTP)
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in message.iter_parts()]  # type: ignore[misc]  # of EmailMessage


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("text/html, application/json;q=0.5", "application/json"),
        ("*/*", "application/dicom+json"),
        ("application/dicom+xml, application/dicom+json", "application/dicom+json"),
    ],
)
def test_json_is_given_under_the_name_it_was_asked_by(client: TestClient, accept: str, content_type: str) -> None:
    for path in ("/dicom-web/instances", f"{STUDY}/metadata"):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"] == content_type
        assert answer.json()[0]["00080018"]["Value"] == ["1.4"]


@pytest.mark.parametrize("accept", ["application/dicom+xml", 'multipart/related; type="application/dicom+xml"'])
def test_xml_is_the_native_model_in_a_part_each(client: TestClient, accept: str) -> None:
    for path in (f"/dicom-web/instances?includefield=all&StudyInstanceUID={1.2}", f"{STUDY}/metadata"):
        answer = client.get(path, headers={"Accept": accept})
        ((kind, document),) = parts_of(answer.headers["content-type"], answer.content)
        assert kind == "application/dicom+xml"
        root = ElementTree.fromstring(document)
        assert root.tag == f"{{{NAMESPACE}}}NativeDicomModel"
        told = {each.get("keyword"): each for each in root}
        assert [each.text for each in told["Modality"]] == ["OT"]
        (person,) = told["PatientName"]
        assert [(group.tag.split("}")[1], [part.text for part in group]) for group in person] == [
            ("Alphabetic", ["Wang", "Xiaodong"]),
            ("Ideographic", ["王", "小东"]),
        ]
        ((uid,),) = told["ReferencedStudySequence"]
        assert (uid.get("vr"), [each.text for each in uid]) == ("UI", ["1.9"])


def test_what_is_unknown_is_ignored_and_fuzzy_matching_is_said_not_to_be(client: TestClient) -> None:
    answer = client.get(
        "/dicom-web/studies", params={"NoSuchKeyword": "1", "fuzzymatching": "true", "PatientName": "W*"}
    )
    assert [one["0020000D"]["Value"] for one in answer.json()] == [["1.2"]]
    assert answer.headers["warning"].startswith("299 ")
    assert "warning" not in client.get("/dicom-web/studies").headers


def test_frames_are_octets(client: TestClient) -> None:
    answer = client.get(f"{INSTANCE}/frames/1")
    assert parts_of(answer.headers["content-type"], answer.content) == [("application/octet-stream", RGB.tobytes())]
    bare = client.get(f"{INSTANCE}/frames/1", headers={"Accept": "application/octet-stream"})
    assert (bare.headers["content-type"], bare.content) == ("application/octet-stream", RGB.tobytes())


@pytest.mark.parametrize("path", ["rendered", "frames/1/rendered"])
def test_a_result_is_rendered(client: TestClient, path: str) -> None:
    png = client.get(f"{INSTANCE}/{path}", headers={"Accept": "image/png"})
    assert png.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(BytesIO(png.content))), RGB)
    small = client.get(f"{INSTANCE}/{path}", params={"viewport": "3,3"})
    assert small.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(small.content)).size == (3, 2)


@pytest.mark.parametrize(
    ("path", "accept", "code"),
    [
        ("frames/2", "*/*", "unknown_result"),
        ("frames/0", "*/*", "invalid_parameter"),
        ("frames/x", "*/*", "invalid_parameter"),
        ("frames/1,1", "application/octet-stream", "not_acceptable"),
        ("frames/1", "image/jls", "not_acceptable"),
        ("rendered", "text/html", "not_acceptable"),
        ("rendered?viewport=1", "*/*", "invalid_parameter"),
        ("frames/3/rendered", "*/*", "unknown_result"),
    ],
)
def test_frames_that_are_not_there(client: TestClient, path: str, accept: str, code: str) -> None:
    assert client.get(f"{INSTANCE}/{path}", headers={"Accept": accept}).json()["code"] == code
    assert client.get(f"{INSTANCE}0/{path}").status_code in (400, 404)


def test_bits_are_packed_and_numbers_are_spread_to_grey() -> None:
    mask = np.array([[[0, 1, 1], [1, 0, 0], [0, 0, 1]], [[1, 1, 1], [0, 0, 0], [0, 0, 0]]], np.uint8)
    dataset = picture()
    for keyword in ("PlanarConfiguration",):
        delattr(dataset, keyword)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 3
    dataset.NumberOfFrames = 2
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    dataset.PixelData = np.packbits(mask, axis=None, bitorder="little").tobytes() + b"\0"
    frames = Frames(file_of(dataset))
    assert len(frames) == 2
    assert frames.content(2) == np.packbits(mask[1], axis=None, bitorder="little").tobytes()
    shown = np.asarray(Image.open(BytesIO(frames.picture(1, "png"))))
    assert np.array_equal(shown, mask[0] * 255)


def test_scripts_of_named_origins_may_call_and_no_others(client: TestClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
    allowed = client.options("/dicom-web/studies", headers={"Origin": ORIGIN, **asked, "Authorization": ""})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert client.options("/dicom-web/studies", headers={"Origin": "https://other.example", **asked}).status_code == 400
    answer = client.get("/dicom-web/studies", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    refused = client.get("/dicom-web/studies", headers={"Origin": ORIGIN, "Authorization": ""})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


@pytest.mark.parametrize("method", sorted({method for method, _ in OPERATIONS}))
def test_a_script_may_use_the_method_of_every_operation(client: TestClient, method: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    assert client.options("/", headers={**asked, "Authorization": ""}).status_code == 200


def test_below_a_path_addresses_are_those_that_clients_see(folder: Path) -> None:
    """Whether the proxy strips the path or passes it on."""
    with served(folder, root_path="/hospital/lungscope") as client:
        for before in ("", "/hospital/lungscope"):
            (found,) = client.get(f"{before}/dicom-web/studies").json()
            assert found["00081190"]["Value"] == ["http://testserver/hospital/lungscope/dicom-web/studies/1.2"]
            assert client.get(f"{before}/openapi.json").json()["servers"] == [{"url": "/hospital/lungscope"}]
            assert client.get(f"{before}/docs/assets/swagger/swagger-ui.css").status_code == 200
            slashed = client.get(f"{before}/docs/", follow_redirects=False)
            assert slashed.headers["location"] == "../docs"
            assert client.put(f"{before}/dicom-web/studies").headers["allow"] == "GET, HEAD, POST"
            assert client.get(f"{before}/no/such").status_code == 404


def test_a_path_of_the_service_cannot_be_that_of_a_proxy(folder: Path) -> None:
    with pytest.raises(SettingsError, match="LUNGSCOPE_ROOT_PATH"):
        served(folder, root_path="/dicom-web")
