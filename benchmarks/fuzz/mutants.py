"""Requests to the three doors that take images, each made from the seed of a run and its own number alone."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode

from benchmarks.fuzz import sources
from benchmarks.fuzz.archives import mutated_archive
from benchmarks.fuzz.bodies import DICOM, FIELDS, Multipart, change, coded, form, related
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.elements import mutated, tag_of
from benchmarks.fuzz.pictures import mutated_picture
from benchmarks.fuzz.pixels import codestream
from benchmarks.fuzz.tree import Element, File
from phantoms.slices import derived_uid

Door = Literal["predict", "studies", "stow"]
Steps = tuple[str, ...]
PATHS: Final[dict[Door, str]] = {"predict": "/v1/predict", "studies": "/v1/studies", "stow": "/dicom-web/studies"}
DOORS: Final[tuple[Door, ...]] = ("predict",) * 5 + ("studies",) * 3 + ("stow",) * 2
RELATED: Final = 'multipart/related; type="application/dicom"'
FHIR: Final = "application/fhir+json"
# To write DICOM objects takes a hundred times what JSON takes.
ANYWHERE: Final = (
    None,
    "*/*",
    "application/json",
    "application/dicom",
    RELATED,
    FHIR,
    FHIR,
    "text/html",
    "application/pdf",
)
ACCEPTS: Final[dict[Door, tuple[str | None, ...]]] = {
    "predict": (*ANYWHERE, "image/png", "image/png"),
    "studies": (*ANYWHERE, "application/x-ndjson", "application/x-ndjson"),
    "stow": (*[None, "*/*", "application/dicom+json"] * 3, "application/json"),
}
PLAIN_DOORS: Final[tuple[Door, ...]] = ("predict",) * 28 + ("studies", "stow")
ODD_ACCEPTS: Final = ("", ";", "application/*;q=nan", "a/b", "*/*;q=0", "text/html,*/*;q=0.1", "image/png;q=2", "\xff")
ODD_SHARE: Final = 0.03
CODED_SHARE: Final = 0.04
LANGUAGES: Final = (None, None, None, "zh", "zh-CN,en;q=0.5", "xx", "*;q=0")
TYPES: Final = (DICOM, "application/octet-stream", "image/png", "text/plain", None, "application/json", "image/\xff")
MAX_QUERY_BYTES: Final = 4096  # a request line of more is refused before it is one
GENTLE_SERIES: Final = 0.65  # more than of slices: one that is refused shows nothing of what comes after


@dataclass(frozen=True, slots=True)
class Mutant:
    """One request and what was done to what it holds."""

    seed: int
    number: int
    door: Door
    accept: str | None
    steps: Steps
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """The same on every run; the service's log names it."""
        return str(uuid.UUID(int=random.Random(f"id:{self.seed}:{self.number}").getrandbits(128), version=4))


def mutant(seed: int, number: int, *, plain: bool = False) -> Mutant:
    """The mutant of that number: the same on every run of the same code. A `plain` one is mostly a slice with a roi and
    asks for the answer that takes least to write: the time goes into reading."""
    rng = random.Random(f"{seed}:{number}")
    door = rng.choice(PLAIN_DOORS if plain else DOORS)
    accept = rng.choice(ODD_ACCEPTS) if rng.random() < ODD_SHARE else rng.choice(ACCEPTS[door])
    accept = None if plain else accept
    kind, body, query, steps = MAKERS[door](rng, derived_uid(f"mutant {seed} {number}"))
    headers = {"Content-Type": kind, "Accept": accept, "Accept-Language": rng.choice(LANGUAGES)}
    if rng.random() < CODED_SHARE:
        headers["Content-Encoding"], body = coded(body, rng)
        steps = (*steps, "content coding")
    given = {name: text for name, text in headers.items() if text is not None}
    if plain and door == "predict" and "roi" not in query:
        query += f"{'&' if query else '?'}roi={sources.ON_NODULE}"
    return Mutant(seed, number, door, accept, steps, PATHS[door] + query, given, body)


Made = tuple[str | None, bytes, str, Steps]


def _predict(rng: random.Random, _uid: str) -> Made:
    data, steps, frame = _image(rng)
    fields = _fields(rng, frame)
    if rng.random() < 0.75:
        kind = rng.choice(TYPES) if rng.random() < 0.2 else DICOM
        return kind, data, _query(fields), steps
    return _posted(form([data], "file", fields), rng, steps)


def _image(rng: random.Random) -> tuple[bytes, Steps, bytes | None]:
    """A slice, what was done to it, and the frame to ask for where there are several."""
    draw, frame = rng.random(), None
    if draw < 0.2:
        name = rng.choice(sorted(sources.pictures()))
        frame = b"2" if name == "TIFF pages" else None
        data, steps = mutated_picture(sources.pictures()[name], rng)
    elif draw < 0.4:
        name = rng.choice(sorted(sources.encapsulated()))
        file = sources.encapsulated()[name].copy()
        codestream(file, rng)
        data, steps = file.written(), ("codestream",)
    else:
        among, frame = (sources.enhanced(), b"3") if draw < 0.47 else (sources.slices(), None)
        name = rng.choice(sorted(among))
        data, steps = mutated(among[name], rng)
        if rng.random() < 0.08:
            data, steps = damaged(data, rng), (*steps, "damage")
    return data, (name, *steps), frame


def _fields(rng: random.Random, frame: bytes | None) -> list[tuple[str, bytes]]:
    fields = [("frame", frame)] if frame is not None and rng.random() < 0.9 else []
    draw = rng.random()
    if draw < 0.5:
        fields.append(("roi", sources.ON_NODULE.encode()))
    elif draw < 0.58:
        fields.append(rng.choice(FIELDS))
    if rng.random() < 0.2:
        fields.append(("explain", b"true"))
    return fields


def _studies(rng: random.Random, uid: str) -> Made:
    draw = rng.random()
    fields = [rng.choice(FIELDS)] if rng.random() < 0.1 else []
    if draw < 0.15:
        name = rng.choice(sorted(sources.enhanced()))
        data, steps = mutated(sources.enhanced()[name], rng, GENTLE_SERIES)
        return DICOM, data, _query(fields), (name, *steps)
    files, steps = _series(rng, uid)
    if draw < 0.4:
        data, done = mutated_archive(files, rng)
        return "application/zip", data, _query(fields), (*steps, *done)
    return _posted(form(files, "files", fields), rng, steps)


def _stow(rng: random.Random, uid: str) -> Made:
    if rng.random() < 0.4:
        files, steps = _series(rng, uid)
    else:
        among = sources.enhanced() if rng.random() < 0.2 else sources.slices()
        name = rng.choice(sorted(among))
        data, done = mutated(_of_series(among[name], uid), rng, GENTLE_SERIES)
        files, steps = [data], (name, *done)
    if len(files) == 1 and rng.random() < 0.3:
        return DICOM, files[0], "", steps
    study = rng.choice(("", "", "", "/" + derived_uid("study"), "/1.2.3", "/%00", "/x"))
    kind, body, _, steps = _posted(related(files), rng, steps)
    return kind, body, study, steps


def _series(rng: random.Random, uid: str) -> tuple[list[bytes], Steps]:
    """A series of which one slice, or every one in the same way, is a mutant; some have a slice less or twice."""
    chosen, key = rng.randrange(sources.SERIES_SLICES) if rng.random() < 0.4 else None, rng.random()
    files, steps = list[bytes](), tuple[str, ...]()
    for n, file in enumerate(sources.series()):
        own = _of_series(file, uid)
        if chosen in (n, None):
            data, steps = mutated(own, random.Random(key), GENTLE_SERIES)
        else:
            data = own.written()
        files.append(data)
    draw = rng.random()
    if draw < 0.05:
        del files[rng.randrange(1, len(files)) :]
    elif draw < 0.1:
        files.append(rng.choice(files))
    elif draw < 0.15:
        files.insert(0, rng.choice((b"", b"stray", sources.pictures()["PNG"], damaged(files[0], rng))))
    rng.shuffle(files)
    return files, ("one slice" if chosen is not None else "every slice", *steps)


def _of_series(file: File, uid: str) -> File:
    """As a file of a series of its own: the spool would put mutants of one series together."""
    own = file.copy()
    own.put(Element(tag_of("SeriesInstanceUID"), "UI", uid.encode() + b"\0" * (len(uid) % 2)))
    return own


def _posted(body: Multipart, rng: random.Random, steps: Steps) -> Made:
    if rng.random() < 0.3:
        steps = (*steps, change(body, rng))
    return body.content_type(), body.written(), "", steps


def _query(fields: Sequence[tuple[str, bytes]]) -> str:
    short = [(name, value) for name, value in fields if len(value) < MAX_QUERY_BYTES]
    return "?" + urlencode(short) if short else ""


MAKERS: Final[dict[Door, Callable[[random.Random, str], Made]]] = {
    "predict": _predict,
    "studies": _studies,
    "stow": _stow,
}
