"""The service with a file of rules: what is left out, what goes to which destination, and how a case is found again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import SecondaryCaptureImageStorage
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from app.cli import OK, main
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.receiver import Receiver, receiving
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file
from phantoms.slices import SECRET_ID, SECRET_NAME, derived_uid
from tests.api.conftest import wait_until_ready
from tests.api.dicomweb.test_dicomweb import post
from tests.delivery.destinations.mllp_receiver import MllpReceiver, acknowledging, receiving_mllp
from tests.fakes import arithmetic_backends, write_models

SECRET = "whsec_" + "c2VjcmV0" * 4
ACCESSION = "A-4711-17"
RULES = """
[series]
kernel = ["lung"]
min_slices = 4

[[destination]]
name = "archive"
kind = "stow"
url = "{archive}"
objects = ["report"]

[[destination]]
name = "pictures"
kind = "stow"
url = "{pictures}"
objects = ["pictures"]
language = "zh"

[[destination]]
name = "worklist"
kind = "webhook"
url = "{worklist}"
secret_file = "{secret}"
retry_seconds = 0.1

[[destination]]
name = "ris"
kind = "hl7"
url = "mllp://127.0.0.1:{ris}"
"""


def files(series: str, count: int = SLICES, **attributes: Any) -> list[bytes]:
    named: dict[str, Any] = {"SeriesInstanceUID": derived_uid(series), "AccessionNumber": ACCESSION, **attributes}
    return [
        slice_file(index, SOPInstanceUID=derived_uid(f"{series} {index}"), **named)
        for index in range((SLICES - count) // 2, (SLICES + count) // 2)
    ]


def test_each_destination_gets_its_part_once_of_what_the_rules_let_pass(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "app")
    write_models(tmp_path)
    (tmp_path / "secret").write_text(SECRET)
    archive, pictures = Receiver(), Receiver()
    worklist, ris = Receiver(lambda n: (503 if n < 3 else 204, b"")), MllpReceiver(acknowledging("AE"))
    with receiving(archive), receiving(pictures), receiving(worklist), receiving_mllp(ris):
        places = {"archive": archive.url, "pictures": pictures.url, "worklist": worklist.url, "ris": ris.port}
        (tmp_path / "rules.toml").write_text(RULES.format(**places, secret=tmp_path / "secret"))
        settings = Settings(
            models_dir=tmp_path,
            spool_dir=tmp_path / "state",
            rules=tmp_path / "rules.toml",
            settle_seconds=0,
            threads=1,
        )
        with TestClient(create_app(settings, backends=arithmetic_backends())) as client:
            wait_until_ready(client)
            sent = [*files("soft", ConvolutionKernel="B30f"), *files("few", 3, ConvolutionKernel="LUNG")]
            assert post(client, [*sent, *files("lung", ConvolutionKernel="LUNG")])[0] == 200
            status = f"/dicom-web/studies/{derived_uid('study')}/status"

            def ended() -> dict[str, tuple[str, str | None]] | None:
                series = client.get(status).json()["series"]
                found = {each["series_instance_uid"]: (each["state"], each["code"]) for each in series}
                return found if "failed" in {state for state, _ in found.values()} else None

            assert eventually(ended) == {
                derived_uid("soft"): ("left_out", "left_out_by_rules"),
                derived_uid("few"): ("left_out", "left_out_by_rules"),
                derived_uid("lung"): ("failed", "refused_by_destination"),
            }
            text = client.get("/metrics").text
    assert 'lungscope_spooled_series_total{outcome="left_out"} 2.0' in text
    assert 'lungscope_deliveries_refused{destination="ris"} 1.0' in text
    assert [each.Modality for each in archive.instances] == ["SR"]
    assert {each.SOPClassUID for each in pictures.instances} == {SecondaryCaptureImageStorage}
    first, _, last = worklist.requests
    assert first[1]["Webhook-Id"] == last[1]["Webhook-Id"]
    told = Webhook(SECRET).verify(last[2], last[1])
    assert told["data"]["series_instance_uid"] == derived_uid("lung")
    (message,) = ris.messages
    assert str(message.segment("OBR")[18]) == ACCESSION

    said = "\n".join(f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in caplog.records)
    for secret in (ACCESSION, SECRET_ID, SECRET_NAME, SECRET, derived_uid("study"), derived_uid("lung")):
        assert secret not in said
    monkeypatch.setenv("LUNGSCOPE_SPOOL_DIR", str(tmp_path / "state"))
    assert main(["jobs", "find", "--accession", ACCESSION, "--json"]) == OK
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(each["state"] for each in found) == ["failed", "left_out", "left_out"]
    judged = next(each for each in found if each["state"] == "failed")
    assert (judged["refused_by"], judged["waiting"]) == (["ris"], {})
    assert all(judged[name] in said for name in ("series", "study", "accession"))
