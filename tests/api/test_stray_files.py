"""What lies beside the slices in an exported series: it is left out and counted, and stops nothing."""

from __future__ import annotations

import io
import zipfile

import pytest
from pydicom.uid import MediaStorageDirectoryStorage
from starlette.testclient import TestClient

from phantoms.series import SLICES, slice_file, zipped
from phantoms.slices import dicom, small
from tests.api.test_studies import judged, post


@pytest.fixture(scope="module")
def series() -> list[bytes]:
    return [slice_file(n) for n in range(SLICES)]


STRAYS = {
    "__MACOSX/._1.dcm": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "study/.DS_Store": b"\0\0\0\1Bud1",
    "DICOMDIR": dicom(small(), SOPClassUID=MediaStorageDirectoryStorage, PixelData=None),
    "study/series/Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "study/read me.txt": b"exported",
    "study/empty": b"",
    "report.pdf": b"%PDF-1.7",
    "viewer/autorun.inf": b"[autorun]",
    "archive.zip": zipped([b"a report"]),
    "damaged.dcm": slice_file(40)[:5000],
}


@pytest.mark.parametrize("stray", [[name] for name in STRAYS] + [list(STRAYS)], ids=[*STRAYS, "all"])
def test_stray_files_in_a_zip_stop_nothing(client: TestClient, series: list[bytes], stray: list[str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in stray:
            archive.writestr(name, STRAYS[name])
        for n, data in enumerate(series):
            archive.writestr(f"study/series/{n}.dcm", data)
    body = client.post("/v1/studies", content=out.getvalue(), headers={"content-type": "application/zip"}).json()
    assert judged(body)["findings"] == judged(post(client, series).json())["findings"]
    codes = {note["code"] for note in body["quality"]}
    assert codes & {"files_left_out", "files_unreadable"}


def test_a_series_whose_preambles_begin_as_a_zip(client: TestClient, series: list[bytes]) -> None:
    odd = [b"PK\3\4" + data[4:] for data in series]
    assert judged(post(client, odd).json()) == judged(post(client, series).json())
    one = client.post("/v1/studies", content=odd[0])
    assert (one.status_code, one.json()["code"]) == (422, "too_few_slices")
