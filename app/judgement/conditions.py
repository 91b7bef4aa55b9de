"""What a result depends on besides image, models and parameters: the code, settings, libraries and the processor."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from app import __version__
from app.audit.receipts import Conditions, code_digest
from app.inference.registry import ModelRegistry

CODE: Final = Path(__file__).resolve().parents[1]
# What turns bytes into numbers, or numbers into others.
LIBRARIES: Final = ("numpy", "scipy", "opencv-python-headless", "pydicom", "imagecodecs", "pillow")
RUNTIMES: Final = {"openvino": ("openvino",), "tensorflow": ("tensorflow", "tensorflow-cpu")}
CPU_INFO: Final = Path("/proc/cpuinfo")


def conditions_of(registry: ModelRegistry) -> Conditions:
    """Those of this process, once its models run."""
    runtime = {"python": platform.python_version(), "machine": platform.machine(), "cpu": processor()}
    for library in (*LIBRARIES, *RUNTIMES.get(registry.backend_name, ())):
        if (version := _version(library)) is not None:
            runtime[library] = version
    return Conditions(
        code={"version": __version__, "digest": code_digest(CODE)},
        settings={"operating_point": repr(registry.threshold), "backend": registry.backend_name},
        runtime=runtime,
    )


def processor(info: Path = CPU_INFO) -> str:
    """The processor's name, and a digest of what it can do: kernels of linear algebra are chosen by that."""
    try:
        lines = info.read_text("utf-8", "replace").partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name") or platform.processor() or platform.machine()
    features = " ".join(sorted((told.get("flags") or told.get("Features") or "").split()))
    return f"{name} / {hashlib.sha256(features.encode()).hexdigest()[:12]}"


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
