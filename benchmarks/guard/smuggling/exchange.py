"""One attack at a time, and ordinary requests of others right after it, on the connections that it may have spoilt."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.guard.smuggling.listener import SHARED
from benchmarks.guard.smuggling.variants import ATTACK, MARK, SMUGGLED, Variant

GLANCE_S: Final = 0.1  # without a byte: more than a proxy on the same machine takes for an answer
PATIENCE_S: Final = 30.0
BAD_GATEWAY: Final = (502, 503, 504)  # the proxy lost its connection: asked again, not a confusion
TRIES: Final = 3


@dataclass(slots=True)
class Found:
    """What came of the variants through one proxy."""

    variants: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0
    faults: list[str] = field(default_factory=list)


def attack(variant: Variant, port: int) -> bytes:
    """What the proxy says to a variant, until it says no more."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), GLANCE_S) as connection, suppress(OSError):
        for piece in variant.pieces:
            connection.sendall(piece)
        while came := connection.recv(65_536):
            said += came
    return said


def try_variant(variant: Variant, port: int, found: Found) -> None:
    """Send one variant, then ask as two others would."""
    said = attack(variant, port)
    found.variants += 1
    found.answers[said[9:12].decode("latin-1") if said.startswith(b"HTTP/") else "nothing"] += 1
    for n, body in enumerate((None, f"of a patient, {variant.number}".encode() * 40)):
        fault = _ask(f"v-{variant.number}-{n}", body, port, found)
        if fault:
            found.faults.append(f"{variant.number} ({variant.kind}): {fault}")


def _ask(name: str, body: bytes | None, port: int, found: Found) -> str | None:
    """What is wrong with the answer to an ordinary request; None where it is its own."""
    wanted = {"method": "GET" if body is None else "POST", "mark": [name], "length": len(body or b"")}
    wanted |= {"path": "/victim" if body is None else SHARED, "sha256": hashlib.sha256(body or b"").hexdigest()}
    for _ in range(TRIES):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request(str(wanted["method"]), str(wanted["path"]), body, {MARK: name})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"a bystander's request ended with {type(error).__name__}"
        finally:
            connection.close()
        if response.status not in BAD_GATEWAY:
            return None if _same(content, wanted) else f"a bystander got {response.status} {content[:120]!r}"
        found.asked_again += 1
    return f"a bystander got {response.status} {TRIES} times"


def _same(content: bytes, wanted: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(content) == wanted)
    except ValueError:
        return False


def faults_of(notes: Iterable[dict[str, Any]]) -> list[str]:
    """What the service was asked that the proxy did not ask, and requests that both took for different ones."""
    faults, sent = [], set()
    for note in notes:
        if "proxied" not in note:
            continue
        about = f"{'/'.join(note['mark']) or 'no mark'}: "
        match note["proxied"]:
            case [one] if one in sent:
                faults.append(about + "the same request of the proxy a second time")
            case [one] if one.partition(" ")[2] != note["method"]:
                faults.append(f"{about}the proxy sent {one.partition(' ')[2]}, the service read {note['method']}")
            case [one]:
                sent.add(one)
            case []:
                faults.append(about + "a request that the proxy did not send")
            case _:
                faults.append(about + "two requests in one")
    return faults


def reached(notes: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How far the attacks came: requests of theirs that the proxy took for such and sent, what the service then found
    malformed, and how often a connection changed its worker."""
    count: Counter[str] = Counter()
    for note in notes:
        kinds = {each.partition("-")[0] for each in note.get("mark", ())}
        count["requests of attackers"] += bool(kinds & {ATTACK})
        count["second requests that the proxy saw too"] += bool(kinds & {SMUGGLED})
        count["malformed for the service"] += "malformed" in note
        count["answered on their headers alone"] += "refused early" in note
        count["connections passed to the other worker"] += "passed on" in note
    return dict(count)
