"""Receipts: a signed statement of what was judged, by which models and code, under which settings, with what result.

A receipt is signed as the bytes of its canonical JSON: names sorted, no spaces, texts and whole numbers only, which is
what RFC 8785 makes of it. Whoever has the public key can check it, on any machine.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from app.audit.line import utc
from app.errors import MalformedInput
from app.signing import SigningKey, VerifyingKey

VERSION: Final = 1
PURPOSE: Final = b"lungscope receipt\n"  # no signature of something else is one of a receipt
TEXTS: Final = ("request_id", "time", "input", "result", "key")
TABLES: Final = ("parameters", "models", "code", "settings", "runtime")
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a receipt says of one judgement: digests of input and result, the parameters, the models' digests."""

    request_id: str
    input: str
    parameters: Texts
    models: Texts
    result: str
    settings: Texts = field(default_factory=dict)  # those that went with these models


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a receipt says of the service: its code, the settings that matter for a result, and what it runs on."""

    code: Texts
    settings: Texts
    runtime: Texts


class Notary:
    """Signs receipts. `conditions` is asked once, when the models run, and when others run."""

    def __init__(self, key: SigningKey, conditions: Callable[[], Conditions]) -> None:
        self._key = key
        self._ask = conditions

    def prepare(self) -> None:
        """Ask for the conditions now, so that no receipt waits for them."""
        _ = self._fixed

    def renew(self) -> None:
        """Ask again: other models run."""
        self.__dict__.pop("_fixed", None)
        self.prepare()

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        conditions = self._ask()
        tables = {"code": conditions.code, "settings": conditions.settings, "runtime": conditions.runtime}
        return {"version": VERSION, "key": self._key.name, **{name: dict(table) for name, table in tables.items()}}

    def receipt(self, judged: Judged, now: float) -> dict[str, Any]:
        """The receipt of a judgement; `now` is in seconds since 1970."""
        members = {
            **self._fixed,
            "settings": {**self._fixed["settings"], **judged.settings},
            "request_id": judged.request_id,
            "time": utc(now),
            "input": judged.input,
            "parameters": dict(judged.parameters),
            "models": dict(judged.models),
            "result": judged.result,
        }
        signature = self._key.sign(_signed_bytes(members))
        return {**members, "signature": base64.b64encode(signature).decode("ascii")}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that has been read; its signature is still to be checked (`is_signed_by`)."""

    members: Mapping[str, Any]

    @classmethod
    def read(cls, members: object) -> Receipt:
        """From parsed JSON; raises MalformedInput for what is no receipt of this version."""
        if not isinstance(members, dict) or members.get("version") != VERSION:
            raise _malformed(f"no receipt of version {VERSION}")
        if not all(isinstance(members.get(name), str) for name in (*TEXTS, "signature")):
            raise _malformed("a receipt that lacks a text")
        if not all(_is_table(members.get(name)) for name in TABLES):
            raise _malformed("a receipt that lacks a table of texts")
        return cls(members)

    def text(self, name: str) -> str:
        """A member that is a text."""
        value: str = self.members[name]
        return value

    def table(self, name: str) -> Texts:
        """A member that is a table of texts."""
        value: Texts = self.members[name]
        return value

    def is_signed_by(self, key: VerifyingKey) -> bool:
        """Whether its signature is this key's."""
        members = {name: value for name, value in self.members.items() if name != "signature"}
        try:
            signature = base64.b64decode(self.text("signature"), validate=True)
        except binascii.Error:
            return False
        return key.has_signed(_signed_bytes(members), signature)


def digest_of(data: bytes | memoryview) -> str:
    """`sha256:` and the hexadecimal digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def code_digest(folder: Path) -> str:
    """One digest of all Python files under a folder, with their names."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def header_value(receipt: Mapping[str, Any]) -> str:
    """A receipt as a field of an answer that is not JSON: its JSON, base64url (RFC 4648 5)."""
    return base64.urlsafe_b64encode(_canonical(receipt)).decode("ascii")


def from_header(value: str) -> object:
    """The parsed JSON of such a field; raises MalformedInput."""
    try:
        return json.loads(base64.urlsafe_b64decode(value))
    except ValueError:
        raise _malformed("a field that is no base64url of JSON") from None


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for part in value.values())


def _signed_bytes(members: Mapping[str, Any]) -> bytes:
    return PURPOSE + _canonical(members)


def _canonical(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _malformed(found: str) -> MalformedInput:
    return MalformedInput(
        found=found,
        expected="an answer in JSON with its `receipt`, a receipt alone, or the value of Lungscope-Receipt",
        remedy="Keep the answer as it was sent.",
    )
