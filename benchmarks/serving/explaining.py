"""What evidence map, outline and traits cost in process, on one thread.

Each figure is the median of some runs; the whole is a slice from its bytes to its prediction, which holds all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

from app.imaging.options import ReadOptions
from app.imaging.patches import extract_patch
from app.imaging.read import read_slice
from app.inference.diagnose import diagnose
from app.inference.patch_outputs import run_patches, traits_of
from app.inference.registry import Backends, BundleNames, ModelRegistry
from app.settings import Settings
from benchmarks.serving.slices import Slice

RUNS: Final = 200


def measure_parts(ct_slice: Slice, runs: int = RUNS) -> tuple[float, float, float]:
    """Milliseconds of the whole, of outline and traits in it, and of the evidence map as lists of numbers."""
    settings = Settings(threads=1)
    registry = _registry(settings)
    models = registry.models()
    model = models.classifier
    read = read_slice(ct_slice.dicom, ReadOptions())
    judged = run_patches([extract_patch(read, ct_slice.roi_px, model.patch_spec)], model)

    def whole() -> object:
        return diagnose(
            read_slice(ct_slice.dicom, ReadOptions()), ct_slice.roi_px, model, models.detector, models.second_look
        )

    def describe() -> object:
        return judged.outline(0), traits_of(judged.outputs["traits"][0], model)

    return (
        _median_ms(whole, runs),
        _median_ms(describe, runs),
        _median_ms(lambda: judged.evidence(0).values.tolist(), runs),
    )


def _registry(settings: Settings) -> ModelRegistry:
    names = BundleNames(settings.model, settings.detector, settings.second_look, settings.view)
    registry = ModelRegistry.verified(settings.models_dir, names, Backends.create(settings.backend, settings.threads))
    registry.load()
    return registry


def _median_ms(work: Callable[[], object], runs: int) -> float:
    spent = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return 1e3 * statistics.median(spent)
