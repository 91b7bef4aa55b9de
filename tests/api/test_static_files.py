"""Scripts and styles over HTTP: compressed for who takes it, and never sent twice."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.api.routes import docs, viewer
from app.api.static_files import CompressedFiles

LIBRARY = "/viewer/cornerstone.js"
FILES = {
    LIBRARY: viewer.FILES / "cornerstone.js",
    "/viewer/style.css": viewer.FILES / "style.css",
    "/docs/assets/swagger/swagger-ui-bundle.js": docs.ASSETS / "swagger" / "swagger-ui-bundle.js",
}
BUDGET_BYTES = 1_500_000  # of all that the viewer loads


def asked(client: TestClient, path: str, coding: str, **headers: str) -> dict[str, str]:
    """The headers of the answer to HEAD, which are those to GET."""
    given = {"accept-encoding": coding, **headers}
    answer, head = client.get(path, headers=given), client.head(path, headers=given)
    told = {name: value for name, value in head.headers.items() if name != "x-request-id"}
    assert told == {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    assert (head.status_code, head.content) == (answer.status_code, b"")
    return {**told, "status": str(head.status_code)}


@pytest.mark.parametrize("path", FILES)
def test_who_takes_gzip_gets_it_and_the_same_file(client: TestClient, path: str) -> None:
    content = FILES[path].read_bytes()
    for coding in ("gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1"):
        headers = asked(client, path, coding)
        assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
        assert int(headers["content-length"]) < len(content) / 2
        assert client.get(path, headers={"accept-encoding": coding}).content == content
    for coding in ("identity", "br", "gzip;q=0", ""):
        headers = asked(client, path, coding)
        assert "content-encoding" not in headers
        assert headers["vary"] == "Accept-Encoding"
        assert int(headers["content-length"]) == len(content)
    assert headers["content-type"].startswith(("text/javascript", "text/css"))


def test_each_form_has_a_tag_of_its_own_and_is_not_sent_to_who_has_it(client: TestClient) -> None:
    plain, compressed = (asked(client, LIBRARY, coding)["etag"] for coding in ("identity", "gzip"))
    assert plain != compressed
    for coding, own, other in (("identity", plain, compressed), ("gzip", compressed, plain)):
        known = asked(client, LIBRARY, coding, **{"if-none-match": f'"elsewhere", W/{own}'})
        assert (known["status"], known["etag"], known["vary"]) == ("304", own, "Accept-Encoding")
        assert known.keys().isdisjoint({"content-encoding", "content-length"})
        assert asked(client, LIBRARY, coding, **{"if-none-match": other})["status"] == "200"
    changed = asked(client, LIBRARY, "gzip")["last-modified"]
    assert asked(client, LIBRARY, "gzip", **{"if-modified-since": changed})["status"] == "304"


def test_a_range_is_one_of_the_file_as_it_is(client: TestClient) -> None:
    answer = client.get(LIBRARY, headers={"accept-encoding": "gzip", "range": "bytes=10-19"})
    assert answer.status_code == 206
    assert answer.content == FILES[LIBRARY].read_bytes()[10:20]
    assert "content-encoding" not in answer.headers


def test_what_is_no_text_is_sent_as_it_is(client: TestClient) -> None:
    headers = asked(client, "/docs/assets/fastapi/favicon.png", "gzip")
    assert headers.keys().isdisjoint({"content-encoding", "vary"})


def test_a_file_that_has_changed_is_compressed_anew(tmp_path: Path) -> None:
    (file := tmp_path / "page.js").write_text("one\n" * 100)
    client = TestClient(CompressedFiles(tmp_path))
    before = client.get("/page.js")
    file.write_text("two\n" * 100)
    after = client.get("/page.js", headers={"if-none-match": before.headers["etag"]})
    assert (before.text, after.text) == ("one\n" * 100, "two\n" * 100)


def test_the_viewer_is_within_its_budget() -> None:
    sizes = [len(gzip.compress(path.read_bytes(), 6)) for path in viewer.FILES.iterdir() if path.suffix != ".txt"]
    assert sum(sizes) <= BUDGET_BYTES
