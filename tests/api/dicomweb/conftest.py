"""A worklist whose archive is nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.api.dicomweb.ups_client import UpsClient
from tests.api.dicomweb.worklists import NOWHERE
from tests.api.test_jobs import started


@pytest.fixture(scope="module")
def worklist_http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with started(tmp_path_factory.mktemp("worklist"), pull_url=NOWHERE) as client:
        yield client


@pytest.fixture(scope="module")
def worklist(worklist_http: TestClient) -> UpsClient:
    return UpsClient(worklist_http)
