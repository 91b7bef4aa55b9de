"""`bom.json` of a bundle: CycloneDX 1.6 (ECMA-424) with its model card, for inventories that read no manifest of ours.

It is written from the manifest, and the manifest holds its digest.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Final  # JSON is what it is

from app import __version__
from app.inference.bundle import Interval, Manifest, TrainingData, file_digest

BOM_FILE: Final = "bom.json"
SPEC: Final = "1.6"
MODEL: Final = "model"
RESEARCH: Final = "Research use only. Not a medical device."
LABELS: Final = "The labels are radiologists' suspicion or the site's own, not pathology unless the data says so."


def with_bom(manifest: Manifest, folder: Path) -> Manifest:
    """Write the bill of materials into a bundle's folder; returns the manifest with the file's digest."""
    (folder / BOM_FILE).write_text(json.dumps(bill_of(manifest), indent=1) + "\n", "utf-8")
    digests = {**manifest.digests, BOM_FILE: file_digest(folder / BOM_FILE)}
    return manifest.model_copy(update={"digests": dict(sorted(digests.items()))})


def bill_of(manifest: Manifest) -> dict[str, Any]:
    """The bill of materials: the model, the files it is made of, and the data it was learned from."""
    name = f"{manifest.name}/{manifest.version}"
    files = [_file(file, digest) for file, digest in sorted(manifest.digests.items()) if file != BOM_FILE]
    data = [_data(k, data) for k, data in enumerate(manifest.training_data)]
    parent = manifest.lineage.parent if manifest.lineage else None
    model = {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": manifest.name,
        "version": str(manifest.version),
        "description": manifest.description,
        "modelCard": _card(manifest),
    }
    if parent is not None:
        made_from = {"type": "machine-learning-model", "name": parent.name, "version": str(parent.version)}
        model["pedigree"] = {"ancestors": [made_from], "notes": f"{parent.digest}: {parent.change}"}
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{name} {manifest.created.isoformat()}')}",
        "version": 1,
        "metadata": {
            "timestamp": manifest.created.isoformat(),
            "tools": {"components": [{"type": "application", "name": "lungscope", "version": __version__}]},
            "component": model,
        },
        "components": [*files, *data],
        "dependencies": [{"ref": MODEL, "dependsOn": [part["bom-ref"] for part in (*files, *data)]}],
    }


def _file(name: str, digest: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _data(number: int, data: TrainingData) -> dict[str, Any]:
    patients = "" if data.patients is None else f" of {data.patients} patients"
    return {
        "type": "data",
        "bom-ref": f"data:{number}",
        "name": data.source,
        "licenses": [{"license": {"name": data.licence}}],
        "data": [
            {"type": "dataset", "name": data.source, "description": f"{data.items} items{patients}, {data.digest}"}
        ],
    }


def _card(manifest: Manifest) -> dict[str, Any]:
    size, spacing = manifest.input.size_px, manifest.input.spacing_mm
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "classification",
            "architectureFamily": "convolutional neural network",
            "datasets": [{"ref": f"data:{k}"} for k in range(len(manifest.training_data))],
            "inputs": [{"format": f"float32 (N, {size}, {size}, 1), Hounsfield units at {spacing:g} mm"}],
            "outputs": [{"format": name} for name in manifest.outputs],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [_metric(name, figure) for name, figure in manifest.performance.figures.items()]
        },
        "considerations": {
            "useCases": [manifest.intended_use],
            "technicalLimitations": [RESEARCH, LABELS],
        },
    }


def _metric(name: str, figure: Interval) -> dict[str, Any]:
    return {
        "type": name,
        "value": f"{figure.value:.6g}",
        "confidenceInterval": {"lowerBound": f"{figure.low:.6g}", "upperBound": f"{figure.high:.6g}"},
    }
