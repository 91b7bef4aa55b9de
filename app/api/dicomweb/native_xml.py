"""A data set as XML: the Native DICOM Model (PS3.19 A.1), made from its DICOM JSON (PS3.18 F)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree

from pydicom.datadict import keyword_for_tag

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
# The parts of a component group (PS3.5 6.2.1), in their order between carets.
NAME_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
FORM_FEED: Final = "\f"  # of texts of several lines (PS3.5 6.1.3), and in no XML
NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def to_xml(dataset: Mapping[str, Any]) -> bytes:
    """The document of one data set, which is given as DICOM JSON."""
    root = ElementTree.Element("NativeDicomModel", {"xmlns": NAMESPACE, "xml:space": "preserve"})
    _add(root, dataset)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _add(parent: ElementTree.Element, dataset: Mapping[str, Any]) -> None:
    for tag, element in dataset.items():
        names = {"tag": tag, "vr": element["vr"]}
        if keyword := keyword_for_tag(int(tag, 16)):
            names["keyword"] = keyword
        attribute = ElementTree.SubElement(parent, "DicomAttribute", names)
        if "InlineBinary" in element:
            ElementTree.SubElement(attribute, "InlineBinary").text = element["InlineBinary"]
        for number, value in enumerate(element.get("Value", ()), start=1):
            _add_value(attribute, element["vr"], str(number), value)


def _add_value(attribute: ElementTree.Element, vr: str, number: str, value: Any) -> None:
    if vr == "SQ":
        _add(ElementTree.SubElement(attribute, "Item", number=number), value or {})
    elif value is None:  # an empty one among several keeps its place by the numbers of the others
        return
    elif vr == "PN":
        _add_name(ElementTree.SubElement(attribute, "PersonName", number=number), value)
    else:
        ElementTree.SubElement(attribute, "Value", number=number).text = str(value).replace(FORM_FEED, "\n")


def _add_name(person: ElementTree.Element, name: Mapping[str, str]) -> None:
    for group in (each for each in NAME_GROUPS if name.get(each)):
        element = ElementTree.SubElement(person, group)
        for part, text in zip(NAME_PARTS, name[group].split("^"), strict=False):
            if text:
                ElementTree.SubElement(element, part).text = text
