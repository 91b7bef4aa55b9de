"""Writes the bundle: SavedModel, manifest with the measured figures, golden case and card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    EncodedArray,
    GoldenCase,
    Interval,
    TrainingData,
    bundle_files,
    file_digest,
    read_verified,
)
from app.inference.view import OUTPUT, ThumbnailContract, ViewManifest, ViewPerformance
from phantoms.slices import chest
from training.reporting.export import GOLDEN_TOLERANCE, SIGNATURE, run_graph, tensorflow_runtime
from training.sight.fit import CLIP_HU, DOUBTFUL_BELOW, REJECTED_BELOW, SIZE_PX

INTENDED_USE: Final = (
    "Research: it keeps pictures that are no axial CT slice of a chest from being searched for lung nodules. Not a "
    "medical device; no diagnosis, treatment or screening decision may rest on it."
)
SOURCES: Final = {
    "scan": ("LIDC-IDRI-0001 and -0012, CPTAC C3N-00247, TCIA, in three planes", "CC BY 3.0"),
    "chest-slices": ("TCGA-LUAD and TCGA-LUSC, TCIA: single slices", "CC BY 3.0"),
    "iq-othnccd": ("IQ-OTH/NCCD, doi 10.17632/bhmdr45bh2.4: slices, labels not used", "CC BY 4.0"),
    "not-lung-ct": ("other regions and modalities of pydicom-data, highdicom, dcmqi, dcm_qa_ct", "as their sources"),
}


def export_view(network: Any, results: Mapping[str, Any], folder: Path) -> ViewManifest:
    """Write a whole bundle into `folder` (…/<name>/<integer>), replacing what is there, and verify its files."""
    shutil.rmtree(folder, ignore_errors=True)
    _save_graph(network, folder)
    manifest = _manifest(network, results, folder)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    (folder / CARD_FILE).write_text(_card(manifest, results["view"]), "utf-8")
    return read_verified(folder, ViewManifest)[0]


def read_results(path: Path) -> Mapping[str, Any]:
    """What benchmarks/sight.py has measured."""
    results: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return results


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: what was judged, left in doubt and rejected, one group a line."""
    lines = [
        "| pictures | patients | n | judged | doubtful | rejected | share rejected |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share, low, high = row["rejected_share"]
        counts = " | ".join(str(row[key]) for key in ("patients", "pictures", "judged", "doubtful", "rejected"))
        lines.append(f"| {row['group']} | {counts} | {share:.3f} ({low:.3f} to {high:.3f}) |")
    return "\n".join(lines)


def golden_thumbnail() -> NDArray[np.int16]:
    """The generated chest in as few pixels as the network sees."""
    return chest(size_px=SIZE_PX, spacing_mm=7.5)


def _save_graph(network: Any, folder: Path) -> None:
    """Write the SavedModel, with a dict output: OpenVINO reads that and keeps the name."""
    tf = tensorflow_runtime()
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE,
        lambda hu: {OUTPUT: ops.squeeze(network(hu, training=False), -1)},
        input_signature=[tf.TensorSpec((None, SIZE_PX, SIZE_PX, 1), tf.float32, name="hu")],
    )
    archive.write_out(str(folder), verbose=False)


def _manifest(network: Any, results: Mapping[str, Any], folder: Path) -> ViewManifest:
    return ViewManifest(
        schema_version=1,
        name=folder.resolve().parent.name,
        version=int(folder.name),
        created=datetime.now(UTC).replace(microsecond=0),
        description=(
            f"CNN of {network.count_params():,} parameters on a thumbnail of {SIZE_PX} x {SIZE_PX} pixels. axial_chest "
            "is a logit: more is more like an axial slice of a chest with lung in it."
        ),
        intended_use=INTENDED_USE,
        input=ThumbnailContract(size_px=SIZE_PX, clip_hu=CLIP_HU),
        outputs=(OUTPUT,),
        rejected_below=REJECTED_BELOW,
        doubtful_below=DOUBTFUL_BELOW,
        training_data=_training_data(results["learned"]),
        performance=ViewPerformance(
            command=results["command"], protocol=results["protocol"], figures=_figures(results["view"])
        ),
        golden=_golden(folder),
        digests={file: file_digest(folder / file) for file in sorted(bundle_files(folder))},
    )


def _training_data(learned: Mapping[str, Any]) -> tuple[TrainingData, ...]:
    split = "all of it; figures from networks that saw neither scan nor patient"
    return tuple(
        TrainingData(source=source, licence=licence, split=split, **learned[name])
        for name, (source, licence) in SOURCES.items()
    )


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
    shares = {row["group"]: row["rejected_share"] for row in rows}
    return {f"rejected, {g}": Interval(value=v, low=low, high=high) for g, (v, low, high) in shares.items()}


def _golden(folder: Path) -> GoldenCase:
    hu = golden_thumbnail()
    said = run_graph(folder, hu.astype(np.float32)[None])[OUTPUT]
    return GoldenCase(
        description="generated chest (phantoms/slices.py)",
        hu=EncodedArray.encode(hu),
        outputs={OUTPUT: EncodedArray.encode(said[0])},
        tolerance=GOLDEN_TOLERANCE,
    )


def _card(manifest: ViewManifest, rows: Sequence[Mapping[str, Any]]) -> str:
    data = "\n".join(f"- {each.source}; {each.licence}" for each in manifest.training_data)
    parts = (
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**",
        manifest.description,
        f"## Intended use\n\n{manifest.intended_use}",
        "## Known risks and limitations\n\n- Three scans stand for all coronal and sagittal reformats.\n"
        "- A slice with less than 20 cm² of lung may be rejected: it looks like a neck or an abdomen.\n"
        "- A picture of one lung alone, narrower than a chest, is not asked about.",
        f"## Training data\n\n{data}",
        f"## What was judged and what was rejected\n\n{manifest.performance.protocol}\n\n{table(rows)}",
        f"## Reproduce\n\n`{manifest.performance.command}`; docs/sight.md says how it was trained.",
    )
    return "\n\n".join(parts) + "\n"
