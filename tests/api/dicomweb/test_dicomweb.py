"""DICOMweb in process: what STOW-RS answers, and results found and fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import CTImageStorage, MRImageStorage
from starlette.testclient import TestClient

from app.api.dicomweb.native_xml import NAMESPACE
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import SECRET_ID, SECRET_NAME, derived_uid, dicom, relabelled, small
from tests.api.conftest import wait_until_ready
from tests.fakes import arithmetic_backends, write_models

STUDIES: Final = "/dicom-web/studies"
JSON: Final = "application/dicom+json"
B: Final = "lungscope boundary"
RELATED: Final = f'multipart/related; type="application/dicom"; boundary="{B}"'
MEGABYTE: Final = 1 << 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_models(tmp_path)
    return Settings(
        models_dir=tmp_path,
        spool_dir=tmp_path / "state",
        max_study_mb=8,
        settle_seconds=0,
        quiet_seconds=0,
        threads=1,
        max_series=1,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def series() -> list[bytes]:
    return [slice_file(index) for index in range(SLICES)]


def related(parts: Sequence[bytes], boundary: str = B, *, final: bool = True) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + (f"--{boundary}--\r\n".encode() if final else b"")


def post(client: TestClient, parts: Sequence[bytes], path: str = STUDIES, **headers: str) -> tuple[int, Dataset]:
    """Status and the answer's data set; it must be DICOM JSON."""
    response = client.post(path, content=related(parts), headers={"Content-Type": RELATED, **headers})
    assert response.headers["content-type"] == JSON, response.text
    return response.status_code, Dataset.from_json(response.json())


def item(uid: str, sop_class: str = CTImageStorage, **more: Any) -> dict[str, Any]:
    values = {"ReferencedSOPClassUID": sop_class, "ReferencedSOPInstanceUID": uid, **more}
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset.to_json_dict()


def answered(**sequences: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole data set of an answer."""
    dataset = Dataset()
    dataset.RetrieveURL = None
    for keyword, items in sequences.items():
        setattr(dataset, keyword, [Dataset.from_json(each) for each in items])
    return dataset.to_json_dict()


def problem(client: TestClient, body: bytes, content_type: str = RELATED, **headers: str) -> tuple[int, str]:
    response = client.post(STUDIES, content=body, headers={"Content-Type": content_type, **headers})
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def spooled(settings: Settings) -> list[Path]:
    """Instances anywhere in the spool but where those of judged series are kept."""
    assert settings.spool_dir is not None
    folder = settings.spool_dir / "spool"
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and "judged" not in path.parts
    ]


def results(client: TestClient, count: int) -> list[dict[str, Any]]:
    """The result objects, once there are `count`."""

    def found() -> list[dict[str, Any]] | None:
        instances: list[dict[str, Any]] = client.get("/dicom-web/instances").json()
        return instances if len(instances) >= count else None

    return eventually(found) or []


def uid_of(data: bytes) -> str:
    return str(dcmread(DicomBytesIO(data), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def test_200_refers_to_every_instance_and_to_no_address(client: TestClient, series: list[bytes]) -> None:
    status, dataset = post(client, series[:2])
    stored = [item(uid_of(data), RetrieveURL=None) for data in series[:2]]
    assert status == 200
    assert dataset.to_json_dict() == answered(ReferencedSOPSequence=stored)


def test_202_when_one_is_no_ct_image(client: TestClient, series: list[bytes]) -> None:
    other = dicom(small(), SOPClassUID=MRImageStorage, SOPInstanceUID=derived_uid("mr"))
    status, dataset = post(client, [series[0], other])
    assert status == 202
    assert dataset.to_json_dict() == answered(
        ReferencedSOPSequence=[
            item(uid_of(series[0]), RetrieveURL=None),
            item(derived_uid("mr"), MRImageStorage, RetrieveURL=None, WarningReason=0xB006),
        ]
    )


def test_202_when_some_fail(client: TestClient, series: list[bytes]) -> None:
    compressed = relabelled(slice_file(1), "1.2.840.10008.1.2.4.110")
    nameless = dicom(small(), SOPInstanceUID=None)
    status, dataset = post(client, [series[0], compressed, b"no DICOM at all", nameless])
    assert status == 202
    assert dataset.to_json_dict() == answered(
        ReferencedSOPSequence=[item(uid_of(series[0]), RetrieveURL=None)],
        FailedSOPSequence=[item(uid_of(series[1]), FailureReason=0xC122)],
        OtherFailuresSequence=[
            {"00081197": {"vr": "US", "Value": [0xC000]}},
            {"00081197": {"vr": "US", "Value": [0xA900]}},
        ],
    )


def test_409_when_the_study_is_another(client: TestClient, settings: Settings, series: list[bytes]) -> None:
    status, dataset = post(client, series[:1], f"{STUDIES}/1.2.3")
    assert status == 409
    assert dataset.to_json_dict() == answered(FailedSOPSequence=[item(uid_of(series[0]), FailureReason=0x0110)])
    assert not spooled(settings)


def test_the_study_in_the_address_is_accepted(client: TestClient, series: list[bytes]) -> None:
    study = str(dcmread(DicomBytesIO(series[0]), stop_before_pixels=True).StudyInstanceUID)
    assert post(client, series[:1], f"{STUDIES}/{study}")[0] == 200


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (related([b"x"], final=False), RELATED),
        (related([b"x"], "another"), RELATED),
        (related([b"x"]), 'multipart/related; type="application/dicom"'),
        (b"", RELATED),
        (b"", "application/dicom"),
        (f"--{B}--\r\n".encode(), RELATED),
    ],
)
def test_400_for_what_does_not_follow_the_syntax(client: TestClient, body: bytes, content_type: str) -> None:
    status, code = problem(client, body, content_type)
    assert (status, code in ("malformed_form", "empty_body")) == (400, True)


def test_a_body_without_final_boundary_stores_nothing(
    client: TestClient, settings: Settings, series: list[bytes]
) -> None:
    assert problem(client, related(series[:3], final=False)) == (400, "malformed_form")
    assert not spooled(settings)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data; boundary=x", "", 'multipart/related; type="application/dicom+json"'],
)
def test_415_for_another_type(client: TestClient, content_type: str) -> None:
    assert problem(client, b"x", content_type) == (415, "unsupported_media_type")


def test_415_for_a_part_of_another_type(client: TestClient, settings: Settings, series: list[bytes]) -> None:
    body = related(series[:2]).replace(b"Content-Type: application/dicom", b"Content-Type: application/dicom+json", 1)
    assert problem(client, body) == (415, "unsupported_media_type")
    assert not spooled(settings)


def test_406_when_no_data_set_is_accepted(client: TestClient, series: list[bytes]) -> None:
    assert problem(client, related(series[:1]), Accept="text/html") == (406, "not_acceptable")


def test_what_was_stored_is_told_in_xml_to_who_accepts_that(client: TestClient, series: list[bytes]) -> None:
    headers = {"Content-Type": RELATED, "Accept": "application/dicom+xml"}
    # A preamble, and white space after boundaries (RFC 2046 5.1.1).
    body = b"for who reads no MIME\r\n" + related(series[:1]).replace(f"--{B}".encode(), f"--{B} \t".encode(), 1)
    answer = client.post(STUDIES, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+xml")
    told = [element.text for element in ElementTree.fromstring(answer.content).iter(f"{{{NAMESPACE}}}Value")]
    assert told == [CTImageStorage, uid_of(series[0])]


def test_a_bare_instance_is_accepted(client: TestClient, series: list[bytes]) -> None:
    response = client.post(STUDIES, content=series[0], headers={"Content-Type": "application/dicom"})
    assert response.status_code == 200


def test_chunks_and_an_unquoted_boundary_are_accepted(client: TestClient, series: list[bytes]) -> None:
    body = related(series[:2], "plain")
    pieces = (body[at : at + 1021] for at in range(0, len(body), 1021))
    response = client.post(
        STUDIES, content=pieces, headers={"Content-Type": "multipart/related; type=application/dicom; boundary=plain"}
    )
    assert response.status_code == 200


def test_too_large_a_part_is_refused_and_forgotten(client: TestClient, settings: Settings) -> None:
    head = f"--{B}\r\nContent-Type: application/dicom\r\n\r\n".encode()

    def endless() -> Iterator[bytes]:
        yield head
        for _ in range(9):
            yield bytes(MEGABYTE)

    response = client.post(STUDIES, content=endless(), headers={"Content-Type": RELATED})
    assert (response.status_code, response.json()["code"]) == (413, "input_too_large")
    assert not spooled(settings)


def test_a_full_spool_asks_to_come_back(tmp_path: Path, series: list[bytes]) -> None:
    write_models(tmp_path)
    # The quiet period keeps what came first in the spool.
    settings = Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", spool_mb=1, quiet_seconds=3600, threads=1)
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app) as client:
        large = slice_file(0, SOPInstanceUID=derived_uid("large")) + bytes(MEGABYTE)
        assert post(client, [large])[0] == 200
        response = client.post(STUDIES, content=related(series[:1]), headers={"Content-Type": RELATED})
    assert (response.status_code, response.json()["code"]) == (503, "spool_full")
    assert response.headers["retry-after"]


def test_without_a_folder_dicomweb_is_off(tmp_path: Path) -> None:
    write_models(tmp_path)
    app = create_app(Settings(models_dir=tmp_path), backends=arithmetic_backends())
    with TestClient(app) as client:
        response = client.get(STUDIES)
    assert (response.status_code, response.json()["code"]) == (501, "dicomweb_off")


def test_a_token_guards_it(tmp_path: Path) -> None:
    write_models(tmp_path)
    settings = Settings(models_dir=tmp_path, spool_dir=tmp_path / "state", api_token="t" * 16)
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app) as client:
        assert client.get(STUDIES).status_code == 401
        assert client.get(STUDIES, headers={"Authorization": f"Bearer {'t' * 16}"}).status_code == 200


def test_a_series_is_judged_and_its_results_are_found_and_fetched(
    client: TestClient, settings: Settings, series: list[bytes]
) -> None:
    assert post(client, series)[0] == 200
    source = dcmread(DicomBytesIO(series[0]), stop_before_pixels=True)
    found = results(client, 4)
    assert {one["00080060"]["Value"][0] for one in found} == {"SR", "KO", "OT", "SEG"}
    (study,) = client.get(STUDIES, params={"StudyInstanceUID": source.StudyInstanceUID}).json()
    assert study["00100020"]["Value"] == [SECRET_ID]
    assert study["00201208"]["Value"] == [len(found)]
    assert client.get(STUDIES, params={"PatientID": "another"}).json() == []
    (report,) = client.get("/dicom-web/instances", params={"Modality": "SR"}).json()
    address = report["00081190"]["Value"][0].removeprefix(str(client.base_url))
    fetched = client.get(address, headers={"Accept": "application/dicom"})
    assert fetched.headers["content-type"] == "application/dicom"
    dataset = dcmread(DicomBytesIO(fetched.content))
    assert (dataset.StudyInstanceUID, dataset.PatientName) == (source.StudyInstanceUID, source.PatientName)
    (metadata,) = client.get(f"{address}/metadata").json()
    assert metadata["0040A730"]["Value"]
    assert client.get(f"{address}0").json()["code"] == "unknown_result"
    assert client.get(address, headers={"Accept": "image/png"}).json()["code"] == "not_acceptable"
    assert eventually(lambda: not spooled(settings))


def test_a_single_slice_is_judged_alone(client: TestClient, settings: Settings, series: list[bytes]) -> None:
    assert post(client, series[8:9])[0] == 200
    found = results(client, 4)
    assert eventually(lambda: 'lungscope_spooled_series_total{outcome="judged"} 1.0' in client.get("/metrics").text)
    (report,) = (one for one in found if one["00080060"]["Value"] == ["SR"])
    (metadata,) = client.get(report["00081190"]["Value"][0].removeprefix(str(client.base_url)) + "/metadata").json()
    referenced = Dataset.from_json(metadata).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert [item.ReferencedSOPInstanceUID for item in referenced.ReferencedSOPSequence] == [uid_of(series[8])]
    assert eventually(lambda: not spooled(settings))


def test_a_late_slice_is_reported_with_its_series_and_the_status_says_where_that_stands(
    client: TestClient, series: list[bytes]
) -> None:
    study = str(dcmread(DicomBytesIO(series[0]), stop_before_pixels=True).StudyInstanceUID)
    assert client.get(f"{STUDIES}/{study}/status").json()["code"] == "unknown_result"

    def state(state: str) -> dict[str, Any] | None:
        (told,) = client.get(f"{STUDIES}/{study}/status").json()["series"]
        return told if told["state"] == state else None

    post(client, series[1:])
    eventually(lambda: state("judged"))
    (first,) = client.get("/dicom-web/instances", params={"Modality": "SR"}).json()
    post(client, series[:1])
    eventually(lambda: 'lungscope_spooled_series_total{outcome="judged"} 2.0' in client.get("/metrics").text)
    (report,) = client.get(f"{STUDIES}/{study}/instances?Modality=SR&includefield=all").json()
    document = Dataset.from_json(report)
    (before,) = document.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert before.ReferencedSOPInstanceUID == first["00080018"]["Value"][0]
    evidence = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(evidence.ReferencedSOPSequence) == SLICES


def test_a_series_that_cannot_be_judged_says_why(client: TestClient, series: list[bytes]) -> None:
    post(client, [series[0], series[9]])
    (report,) = results(client, 1)
    assert report["00080060"]["Value"] == ["SR"]
    study = report["0020000D"]["Value"][0]
    (told,) = client.get(f"{STUDIES}/{study}/status").json()["series"]
    assert (told["state"], told["code"]) == ("unfit", "too_few_slices")
    (metadata,) = client.get(f"{STUDIES}/{study}/metadata").json()
    assert "(too_few_slices)" in str(metadata["0040A730"])


def test_our_own_results_do_not_go_round(client: TestClient, settings: Settings, series: list[bytes]) -> None:
    post(client, series)
    files = []
    for one in results(client, 4):
        address = one["00081190"]["Value"][0].removeprefix(str(client.base_url))
        files.append(client.get(address, headers={"Accept": "application/dicom"}).content)
    status, dataset = post(client, files)
    assert status == 202
    assert {item.WarningReason for item in dataset.ReferencedSOPSequence} == {0xB006}
    assert not spooled(settings)


def test_sending_again_makes_nothing_new(client: TestClient, series: list[bytes]) -> None:
    post(client, series)
    first = {one["00080018"]["Value"][0] for one in results(client, 4)}
    post(client, series[::-1])
    eventually(lambda: 'lungscope_spooled_series_total{outcome="judged"} 2.0' in client.get("/metrics").text)
    assert {one["00080018"]["Value"][0] for one in client.get("/dicom-web/instances").json()} == first


def test_no_patient_data_reaches_logs_and_metrics(
    client: TestClient, series: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    post(client, series)
    post(client, [series[0][:5000], slice_file(3, Modality="MR")])
    found = results(client, 4)
    told = caplog.text + client.get("/metrics").text
    uids = [one[tag]["Value"][0] for one in found for tag in ("00080018", "0020000D", "0020000E")]
    for secret in (SECRET_NAME, SECRET_ID, *uids, *map(uid_of, series)):
        assert secret not in told
