"""Whatever is sent, the answer is one that the contract declares, never a 500, and no series is lost on the way."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from benchmarks.fuzz.mutants import Mutant, mutant
from benchmarks.fuzz.verdict import Contract, Reply
from benchmarks.serving.service import eventually
from tests.api.conftest import wait_until_ready
from tests.fakes import arithmetic_backends, write_models

SEED: Final = 2026
# Of 3,100 together, a minute of CPU time: those that ask for every format cost ten times the plain ones.
# `make fuzz-long` sends 100,000 to the shipped models.
MUTANTS: Final = 100
PLAIN: Final = 3000
WAVE: Final = 100
WAITING: Final = re.compile(r"^lungscope_spooled_series_waiting (\S+)", re.MULTILINE)
FAILED: Final = re.compile(r'^lungscope_spooled_series_total\{outcome="failed"\} (\S+)', re.MULTILINE)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("mutants")
    write_models(folder)
    settings = Settings(
        models_dir=folder,
        spool_dir=folder / "state",
        settle_seconds=0,
        quiet_seconds=0,
        threads=1,
        max_series=2,
        decoding="cell",
    )
    app = create_app(settings, backends=arithmetic_backends())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def contract(client: TestClient) -> Contract:
    return Contract(client.get("/openapi.json").json())


def answered(client: TestClient, sent: Mutant) -> Reply:
    """Seconds are not looked at: they are the machine's."""
    headers = [(name, text.encode("latin-1")) for name, text in sent.headers.items()]
    given = [(name.encode(), text) for name, text in (*headers, ("X-Request-ID", sent.request_id.encode()))]
    response = client.post(sent.path, content=sent.body, headers=given)
    return Reply(response.status_code, response.headers.get("content-type", ""), response.content)


def judged(client: TestClient) -> str:
    """The metrics, once no series waits to be judged."""

    def nothing_waits() -> str | None:
        metrics = client.get("/metrics").text
        found = WAITING.search(metrics)
        return metrics if found and float(found[1]) == 0 else None

    return eventually(nothing_waits) or ""


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("first", range(0, MUTANTS, WAVE))
def test_every_mutant_is_answered_as_the_contract_says(
    client: TestClient, contract: Contract, caplog: pytest.LogCaptureFixture, first: int
) -> None:
    assert_as_the_contract_says(
        client, contract, caplog, [mutant(SEED, number) for number in range(first, first + WAVE)]
    )


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("first", range(MUTANTS, MUTANTS + PLAIN, 2 * WAVE))
def test_so_are_many_more_that_ask_for_plain_answers(
    client: TestClient, contract: Contract, caplog: pytest.LogCaptureFixture, first: int
) -> None:
    numbers = range(first, first + 2 * WAVE)
    assert_as_the_contract_says(client, contract, caplog, [mutant(SEED, number, plain=True) for number in numbers])


def assert_as_the_contract_says(
    client: TestClient, contract: Contract, caplog: pytest.LogCaptureFixture, wave: list[Mutant]
) -> None:
    faults = list[tuple[int, tuple[str, ...], list[str]]]()
    with caplog.at_level(logging.ERROR):
        for sent in wave:
            if found := contract.faults(sent, answered(client, sent)):
                faults.append((sent.number, sent.steps, found))
        failed = FAILED.search(judged(client))
    assert not faults
    assert not [record for record in caplog.records if record.exc_info]
    assert failed is None or float(failed[1]) == 0


def test_a_mutant_is_the_same_whenever_it_is_made() -> None:
    first, second = (mutant(SEED, 7) for _ in range(2))
    assert first == second
    assert first != mutant(SEED, 8)
    assert first.body != mutant(SEED + 1, 7).body
