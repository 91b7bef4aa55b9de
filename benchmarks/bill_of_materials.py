"""The software bill of materials of the service: `python -m benchmarks.bill_of_materials` writes CycloneDX 1.6 from a
lock, by the libraries of the CycloneDX project.

A component is a locked package, with its hashes and its licence (`benchmarks.licences`). The comments that the lock's
compiler leaves ("via") tell what depends on what.
"""

from __future__ import annotations

import argparse
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packageurl import PackageURL
from packaging.utils import canonicalize_name

from app import __version__
from benchmarks.licences import ELSEWHERE, REPOSITORY, licence_of

SPEC: Final = "1.6"
ENTRY: Final = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)(?:\[[a-z0-9,-]+\])?==(?P<version>[^ ;\\]+)(?P<rest>[^\n]*)$")
HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
VIA: Final = re.compile(r"^    # (?: |via)(?: -r)? ([a-z0-9][a-z0-9._-]*)", re.MULTILINE)
MARKER: Final = re.compile(r"; (.+?) \\?$")
ROOT: Final = "lungscope"


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of a lock: the hashes of its files, who asks for it, and on which systems."""

    name: str
    version: str
    hashes: tuple[str, ...]
    asked_for_by: tuple[str, ...]
    marker: str | None

    @property
    def ref(self) -> str:
        """Its package URL."""
        return PackageURL("pypi", None, self.name, self.version).to_string()


def locked(lock: str) -> Iterator[Locked]:
    """The packages of a lock, in its order."""
    text = (REPOSITORY / "requirements" / f"{lock}.lock").read_text("utf-8")
    for entry in re.split(r"\n(?=[a-z0-9])", text):
        matched = ENTRY.match(entry.partition("\n")[0])
        if matched is None:
            continue
        marker = MARKER.search(matched["rest"])
        asked = tuple(canonicalize_name(name) for name in VIA.findall(entry))
        name = canonicalize_name(matched["name"])
        hashes = tuple(HASH.findall(entry))
        yield Locked(name, matched["version"], hashes, asked, None if marker is None else marker[1])


def bill(lock: str) -> dict[str, Any]:
    """The bill of materials of a lock. Its serial number follows from the lock: the same lock, the same bill."""
    packages = sorted(locked(lock), key=lambda each: (each.name, each.version))
    content = json.dumps([(each.name, each.version, each.hashes) for each in packages])
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ROOT,
                "name": ROOT,
                "version": __version__,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "properties": [{"name": "lungscope:lock", "value": f"requirements/{lock}.lock"}],
        },
        "components": [_component(each) for each in packages],
        "dependencies": _dependencies(packages),
    }


def _component(package: Locked) -> dict[str, Any]:
    files = [{"alg": "SHA-256", "content": digest} for digest in package.hashes]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.ref,
        "name": package.name,
        "version": package.version,
        "purl": package.ref,
        # One of these files is installed, by the system's kind: so they are hashes of the distribution.
        "externalReferences": [{"type": "distribution", "url": package.ref, "hashes": files}],
    }
    licence = licence_of(package.name)
    if licence != ELSEWHERE:
        component["licenses"] = [{"license": {"name": licence}}]
    if package.marker is not None:
        component["properties"] = [{"name": "lungscope:marker", "value": package.marker}]
    return component


def _dependencies(packages: list[Locked]) -> list[dict[str, Any]]:
    """Who asks for whom; what the lock's compiler says of files is the service's own asking."""
    names = {each.name for each in packages}
    asks: dict[str, set[str]] = {ROOT: set(), **{each.ref: set() for each in packages}}
    for package in packages:
        for asking in package.asked_for_by:
            askers = [each.ref for each in packages if each.name == asking] if asking in names else [ROOT]
            for ref in askers:
                asks[ref].add(package.ref)
    return [{"ref": ref, "dependsOn": sorted(on)} for ref, on in asks.items()]


def main() -> None:
    """Write the bill of each lock that a server is installed from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "requirements")
    folder = parser.parse_args().folder
    for lock in ("serve", "full"):
        (folder / f"{lock}.cdx.json").write_text(json.dumps(bill(lock), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
