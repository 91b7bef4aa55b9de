"""Hard negatives of whole scans for the classifier: what a blob filter finds in a slice that no reader marked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from app.imaging.candidates import LARGE_MM, find_candidates
from app.imaging.lungs import segment_lungs
from training.data.leaks import pixel_digest
from training.data.native_patches import native_patch
from training.data.nodules import Dataset, FalseFinding
from training.data.scans import Scan, ScanConfig, read_scan

logger = logging.getLogger(__name__)

CLEARANCE_MM: Final = 6.0  # from everything marked
STRONGEST: Final = 8  # of a slice: those that look most like a blob
OTHERS: Final = 4  # of a slice, spread over the rest


class TaughtScan(ScanConfig):
    """A scan whose false findings teach, and the fold whose networks must not see it."""

    fold: Annotated[int, Field(ge=0)]


def with_false_findings(dataset: Dataset, data: Path, scans: Mapping[str, TaughtScan]) -> Dataset:
    """The dataset with the false findings of those `scans` that lie under `data`, each in its fold.

    Raises what `read_scan` raises for a folder that is there and holds no series.
    """
    there = {name: config for name, config in scans.items() if data.is_dir() and (data / config.folder).is_dir()}
    if absent := sorted(scans.keys() - there.keys()):
        logger.warning("no false findings of %s: not under the data", ", ".join(absent))
    found = tuple(
        f for name, config in there.items() for f in false_findings(read_scan(data, name, config), config.fold)
    )
    if not found:
        return dataset
    digest = pixel_digest(np.stack([f.hu for f in found]))
    return replace(dataset, false_findings=found, digests=(*dataset.digests, ("scans", f"sha256:{digest}")))


def false_findings(scan: Scan, fold: int) -> Iterator[FalseFinding]:
    """The strongest of every slice's candidates and some others, none near anything known; the same every time."""
    for index in range(len(scan.volume)):
        ct_slice = scan.volume.slice_at(index)
        candidates = [
            c
            for c in find_candidates(ct_slice, segment_lungs(ct_slice))
            if c.diameter_mm <= LARGE_MM and scan.clearance_mm((*c.centre_px, float(index))) >= CLEARANCE_MM
        ]
        falling = sorted(candidates, key=lambda c: -c.response_hu)
        rest = falling[STRONGEST:]
        for candidate in falling[:STRONGEST] + rest[:: max(1, len(rest) // OTHERS)][:OTHERS]:
            column, row = (round(v) for v in candidate.centre_px)
            yield FalseFinding(scan.name, fold, ct_slice.spacing_mm[1], native_patch(ct_slice.hu, (column, row)))
