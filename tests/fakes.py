"""The models whose answers are arithmetic, for tests: they lie where benchmarks reach them too."""

from __future__ import annotations

from benchmarks.arithmetic import (
    CARD,
    FILTER_SIZE_PX,
    NAMES,
    SIZE_PX,
    SPACING_MM,
    TRAITS,
    ArithmeticBackend,
    ArithmeticFilter,
    ArithmeticLook,
    ArithmeticModels,
    ArithmeticView,
    Held,
    arithmetic_backends,
    arithmetic_detector,
    arithmetic_look,
    write_bundle,
    write_detector,
    write_models,
    write_second_look,
    write_view,
)

__all__ = [
    "CARD",
    "FILTER_SIZE_PX",
    "NAMES",
    "SIZE_PX",
    "SPACING_MM",
    "TRAITS",
    "ArithmeticBackend",
    "ArithmeticFilter",
    "ArithmeticLook",
    "ArithmeticModels",
    "ArithmeticView",
    "Held",
    "arithmetic_backends",
    "arithmetic_detector",
    "arithmetic_look",
    "write_bundle",
    "write_detector",
    "write_models",
    "write_second_look",
    "write_view",
]
