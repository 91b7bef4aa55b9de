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
from app.inference.bundle import find_bundle, load_bundle
from app.inference.diagnose import diagnose
from app.inference.model import create_backend
from app.inference.patch_outputs import run_patches, traits_of
from app.inference.registry import ModelRegistry, verify_detector
from app.settings import Settings
from benchmarks.serving.slices import Slice

RUNS: Final = 200


def measure_parts(ct_slice: Slice, runs: int = RUNS) -> tuple[float, float, float]:
    """Milliseconds of the whole, of outline and traits in it, and of the evidence map as lists of numbers."""
    settings = Settings(threads=1)
    registry = _registry(settings)
    model, detector = registry.model(), registry.detector()
    read = read_slice(ct_slice.dicom, ReadOptions())
    judged = run_patches([extract_patch(read, ct_slice.roi_px, model.patch_spec)], model)

    def whole() -> object:
        return diagnose(read_slice(ct_slice.dicom, ReadOptions()), ct_slice.roi_px, model, detector)

    def describe() -> object:
        return judged.outline(0), traits_of(judged.outputs["traits"][0], model)

    return (
        _median_ms(whole, runs),
        _median_ms(describe, runs),
        _median_ms(lambda: judged.evidence(0).values.tolist(), runs),
    )


def _registry(settings: Settings) -> ModelRegistry:
    backends = [create_backend(settings.backend, settings.threads) for _ in range(2)]
    bundle = load_bundle(find_bundle(settings.models_dir, settings.model))
    detector = verify_detector(find_bundle(settings.models_dir, settings.detector), backends[0])
    registry = ModelRegistry(bundle, backends[1], detector)
    registry.load()
    return registry


def _median_ms(work: Callable[[], object], runs: int) -> float:
    spent = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return 1e3 * statistics.median(spent)
