"""The readers' XML of LIDC-IDRI: who outlined what on which slice, and how they rated it.

Source: Armato et al. 2011 (doi 10.1118/1.3528204) and the LidcReadMessage files on TCIA. Left out are non-nodules and
nodules below 3 mm, which readers marked with one point and did not rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from app.errors import InputTooLarge
from training.data.nodules import MALIGNANCY_SCALE, TRAIT_SCALES, DatasetMalformed

NAMESPACE: Final = "http://www.nih.gov"
ROOT: Final = f"{{{NAMESPACE}}}LidcReadMessage"
MAX_XML_BYTES: Final = 32 * 1024 * 1024  # a hundred times the file of a scan with 12 nodules
REMEDY: Final = "Take the XML as TCIA publishes it; leave this file out if it is another kind of reading."


@dataclass(frozen=True, slots=True)
class Contour:
    """One closed contour on one slice: (column, row) pixels on its line. `included` is False for a hole."""

    sop_uid: str
    included: bool
    points_px: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """One reader's nodule: `reader` counts the sessions of the file from 0; an unrated trait is nan."""

    reader: int
    malignancy: int
    traits: tuple[float, ...]
    contours: tuple[Contour, ...]

    def __post_init__(self) -> None:
        if not any(c.included for c in self.contours) or not all(c.points_px for c in self.contours):
            raise ValueError("a mark needs an included contour, and every contour a point")


@dataclass(frozen=True, slots=True)
class Reading:
    """All rated nodules of one CT series, in the order of the file."""

    series_uid: str
    marks: tuple[Mark, ...]


def parse_reading(data: bytes) -> Reading | None:
    """Parse one XML file; None when it is not a LidcReadMessage (the X-ray readings lie beside them).

    Raises InputTooLarge beyond MAX_XML_BYTES, and DatasetMalformed for a document type (entities expand), XML that
    is not well-formed, or readings without what a nodule needs.
    """
    root = _root(data)
    if root.tag != ROOT:
        return None
    series_uid = _series_uid(root)
    sessions = root.findall(_name("readingSession"))
    return Reading(series_uid, tuple(mark for k, session in enumerate(sessions) for mark in _marks(session, k)))


def _root(data: bytes) -> ElementTree.Element:
    if len(data) > MAX_XML_BYTES:
        raise InputTooLarge(
            found=f"{len(data) >> 20} MB of XML", expected=f"at most {MAX_XML_BYTES >> 20} MB", remedy=REMEDY
        )
    # A pass of its own: it stops at the declaration, before the tree's parser could expand anything.
    scan = expat.ParserCreate()
    scan.StartDoctypeDeclHandler = _refuse_document_type
    try:
        scan.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise _malformed(f"XML that is not well-formed ({error})", "a complete LidcReadMessage") from None


def _refuse_document_type(*_: object) -> None:
    raise _malformed("XML with a document type declaration", "XML without: entities are not expanded")


def _series_uid(root: ElementTree.Element) -> str:
    header = root.find(_name("ResponseHeader"))
    for element in header if header is not None else ():
        # Written as SeriesInstanceUid, and in some files as SeriesInstanceUID.
        if element.tag.lower() == _name("seriesinstanceuid") and (uid := (element.text or "").strip()):
            return uid
    raise _malformed("no SeriesInstanceUid", "a ResponseHeader that names the CT series")


def _marks(session: ElementTree.Element, reader: int) -> list[Mark]:
    marks = []
    for nodule in session.findall(_name("unblindedReadNodule")):
        ratings = nodule.find(_name("characteristics"))
        malignancy = None if ratings is None else _rating(ratings, "malignancy", MALIGNANCY_SCALE)
        if ratings is None or malignancy is None:
            continue
        traits = tuple(_trait(ratings, name) for name in TRAIT_SCALES)
        try:
            marks.append(Mark(reader, malignancy, traits, tuple(map(_contour, nodule.findall(_name("roi"))))))
        except ValueError as error:
            raise _malformed(f"a rated nodule that cannot be drawn ({error})", "contours of whole pixels") from None
    return marks


def _contour(roi: ElementTree.Element) -> Contour:
    inclusion = _text(roi, "inclusion").upper()
    if inclusion not in ("TRUE", "FALSE"):
        raise ValueError("inclusion is neither TRUE nor FALSE")
    edge = roi.findall(_name("edgeMap"))
    points = tuple((int(_text(point, "xCoord")), int(_text(point, "yCoord"))) for point in edge)
    return Contour(_text(roi, "imageSOP_UID"), inclusion == "TRUE", points)


def _trait(ratings: ElementTree.Element, name: str) -> float:
    rating = _rating(ratings, name, TRAIT_SCALES[name])
    return math.nan if rating is None else float(rating)


def _rating(ratings: ElementTree.Element, name: str, scale: tuple[int, int]) -> int | None:
    """A rating on its scale; None when absent, empty or 0, which is how a rating that was not given is written."""
    text = _text(ratings, name)
    low, high = scale
    if text in ("", "0"):
        return None
    if not text.isdecimal() or not low <= int(text) <= high:
        raise _malformed(f"a {name} of {text[:20]!r}", f"{low} to {high}")
    return int(text)


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(_name(name)) or "").strip()


def _name(local: str) -> str:
    return f"{{{NAMESPACE}}}{local}"


def _malformed(found: str, expected: str) -> DatasetMalformed:
    return DatasetMalformed(found=found, expected=expected, remedy=REMEDY)
