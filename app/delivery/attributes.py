"""Data sets as DICOM JSON (PS3.18 F), by the keywords of their attributes."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword

Attributes: TypeAlias = dict[str, Any]


@cache
def tag_of(keyword: str) -> str:
    """The tag of an attribute, eight hexadecimal digits; raises KeyError for a keyword that is none."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return f"{tag:08X}"


def dataset(**values: object) -> Attributes:
    """A data set with these attributes: a list has the values or items of one, anything else is its only value."""
    return {tag_of(keyword): _element(keyword, value) for keyword, value in values.items()}


def values_of(attributes: Attributes, keyword: str) -> list[Any]:
    """All values or items of an attribute; none where it is empty or missing."""
    return attributes.get(tag_of(keyword), {}).get("Value") or []


def value_of(attributes: Attributes, keyword: str) -> str:
    """The first value as text; empty where there is none."""
    first = next(iter(values_of(attributes, keyword)), None)
    return "" if first is None else str(first)


def first_item(attributes: Attributes, keyword: str) -> Attributes:
    """The first item of a sequence; an empty one where there is none."""
    return next(iter(values_of(attributes, keyword)), None) or {}


def _element(keyword: str, value: object) -> dict[str, Any]:
    values = value if isinstance(value, list) else [value]
    return {"vr": dictionary_VR(keyword), **({"Value": values} if values else {})}
