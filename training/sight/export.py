"""Writes the bundle: SavedModel, manifest with the measured figures, golden case and card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import numpy as np
from keras import ops
from numpy.typing import NDArray

from app.inference.bundle import (
    GoldenCase,
    Interval,
    TrainingData,
)
from app.inference.view import OUTPUT, ThumbnailContract, ViewManifest, ViewPerformance
from phantoms.slices import chest
from training.reporting.bundles import Identity, golden_case, identity_of, run_graph, save_signature, write_bundle
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


def export_view(network: Any, results: Mapping[str, Any], folder: Path, *, force: bool = False) -> ViewManifest:
    """`write_bundle` of the network that asks for an axial chest."""

    def fill(part: Path) -> ViewManifest:
        _save_graph(network, part)
        return _manifest(network, results, _golden(part), identity_of(folder, part))

    def card(path: Path, manifest: ViewManifest) -> None:
        path.write_text(_card(manifest, results["view"]), "utf-8")

    return write_bundle(folder, fill, card, force=force)


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
    def logit(hu: Any) -> dict[str, Any]:
        return {OUTPUT: ops.squeeze(network(hu, training=False), -1)}

    save_signature(folder, logit, (SIZE_PX, SIZE_PX, 1), "hu", network)


def _manifest(network: Any, results: Mapping[str, Any], golden: GoldenCase, identity: Identity) -> ViewManifest:
    return ViewManifest(
        **identity,
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
        golden=golden,
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
    return golden_case("generated chest (phantoms/slices.py)", hu, run_graph(folder, hu.astype(np.float32)[None]))


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
