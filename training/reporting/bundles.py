"""What every bundle is written with: a SavedModel under one signature, its identity, a golden case, and one way into
its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, TypeVar  # keras and tensorflow are untyped

import keras
import numpy as np
from numpy.typing import NDArray

from app.errors import BundleError
from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    EncodedArray,
    GoldenCase,
    VerifiedManifest,
    bundle_files,
    file_digest,
    read_verified,
)
from training.reporting.provenance import require_free, written_beside

SIGNATURE: Final = "serving_default"
# Another instruction set reorders sums: 1e-5 was seen; bfloat16 kernels, which are refused, differ by 1e-2.
GOLDEN_TOLERANCE: Final = 1e-3

M = TypeVar("M", bound=VerifiedManifest)
Graph = Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]


class Identity(TypedDict):
    """The fields by which a manifest says which bundle it is, and of which files."""

    schema_version: Literal[1]
    name: str
    version: int
    created: datetime
    digests: dict[str, str]


def write_bundle(folder: Path, fill: Callable[[Path], M], card: Callable[[Path, M], None], *, force: bool = False) -> M:
    """Have `fill` write the graph into a folder beside `folder` (…/<name>/<integer>) and say its manifest, and `card`
    its card; then it takes the place of `folder`. `force` replaces a bundle that is there.

    Raises BundleError when something is in `folder`, and when what was written does not match its own manifest; what
    is there stays.
    """
    require_free(folder, force=force)
    with written_beside(folder) as part:
        manifest = fill(part)
        (part / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
        card(part / CARD_FILE, manifest)
        read_verified(part, type(manifest))
    return manifest


def identity_of(folder: Path, part: Path) -> Identity:
    """Who the bundle in `part` is that goes into `folder`."""
    return {
        "schema_version": 1,
        "name": folder.resolve().parent.name,
        "version": int(folder.name),
        "created": datetime.now(UTC).replace(microsecond=0),
        "digests": {file: file_digest(part / file) for file in sorted(bundle_files(part))},
    }


def save_signature(
    folder: Path, answers: Callable[[Any], Mapping[str, Any]], shape: tuple[int, ...], name: str, *networks: Any
) -> None:
    """Write the SavedModel of `answers`, a function of a float32 tensor `name` (N, *shape) that asks `networks`.

    A bare tf.Module would not load in OpenVINO; an ExportArchive with a dict output does, and keeps the names.
    """
    tf = tensorflow_runtime()
    archive = keras.export.ExportArchive()
    for network in networks:
        archive.track(network)
    spec = tf.TensorSpec((None, *shape), tf.float32, name=name)
    archive.add_endpoint(SIGNATURE, answers, input_signature=[spec])
    archive.write_out(str(folder), verbose=False)


def load_signature(folder: Path, name: str) -> Graph:
    """The SavedModel in `folder` as a function of its input `name`."""
    tf = tensorflow_runtime()
    model = tf.saved_model.load(str(folder))  # kept by the function: the signature only borrows its variables

    def run(given: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        said = model.signatures[SIGNATURE](**{name: tf.constant(given)})
        return {output: np.asarray(value, np.float32) for output, value in said.items()}

    return run


def load_graph(folder: Path) -> Graph:
    """The SavedModel in `folder` as a function of float32 (N, size, size) patches in HU."""
    graph = load_signature(folder, "hu")
    return lambda hu: graph(hu[..., None])


def run_graph(folder: Path, hu: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Run float32 (N, size, size) patches through the SavedModel in `folder`."""
    return load_graph(folder)(hu)


def golden_case(description: str, given: NDArray[np.int16], said: Mapping[str, NDArray[np.float32]]) -> GoldenCase:
    """What a graph says about one input, whose answers are `said` (1, …)."""
    outputs = {name: EncodedArray.encode(answers[0]) for name, answers in said.items()}
    return GoldenCase(
        description=description, hu=EncodedArray.encode(given), outputs=outputs, tolerance=GOLDEN_TOLERANCE
    )


def tensorflow_runtime() -> Any:
    """TensorFlow, which only export needs; raises BundleError under another Keras backend."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise BundleError(
            found=f"KERAS_BACKEND={backend}",
            expected="tensorflow, which alone writes a SavedModel",
            remedy="Weights trained under any backend are exported with KERAS_BACKEND=tensorflow.",
        )
    import tensorflow  # deferred: training must run where it is not installed

    return tensorflow
