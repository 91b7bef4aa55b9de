"""What every peer does with the bytes it is sent: pydicom or Pillow to HU, HU to a patch, TensorFlow on the patch."""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec, resample
from app.inference.backends import Backend
from app.inference.backends.tensorflow import TensorFlowBackend

BUNDLE: Final = Path(__file__).resolve().parents[3] / "models" / "nodule-classifier" / "1"
MAX_BATCH: Final = 32  # the largest that a trial gained by


def load_tensorflow(threads: int) -> Backend:
    """The shipped SavedModel in TensorFlow."""
    backend = TensorFlowBackend(threads)
    backend.load(BUNDLE)
    return backend


@dataclass(frozen=True, slots=True)
class Reader:
    """Cuts the patch around `roi` (column, row) from a slice."""

    roi_px: tuple[float, float]
    spec: PatchSpec

    def patch(self, data: bytes) -> NDArray[np.float32]:
        """A DICOM file to float32 (size, size, 1) in HU, as its header says (PS3.3 C.7.6.16.2.9)."""
        dataset = pydicom.dcmread(io.BytesIO(data))
        stored = dataset.pixel_array.astype(np.float32)
        hu = stored * np.float32(dataset.RescaleSlope) + np.float32(dataset.RescaleIntercept)
        rows_mm, columns_mm = (float(mm) for mm in dataset.PixelSpacing)
        patch, _ = resample(hu, (rows_mm, columns_mm), self.roi_px, self.spec)
        return patch[..., None]


def answers(backend: Backend, patches: list[NDArray[np.float32]]) -> list[dict[str, Any]]:
    """What the network says about some patches of shape (size, size, 1), inferred together."""
    outputs = backend.run(np.stack(patches))
    return [
        {
            "malignancy": float(outputs["malignancy"][n]),
            "nodule": float(outputs["nodule"][n]),
            "traits": outputs["traits"][n].tolist(),
        }
        for n in range(len(patches))
    ]


def options() -> argparse.Namespace:
    """What every peer is started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--roi", type=float, nargs=2, required=True)
    parser.add_argument("--patch", type=float, nargs=2, required=True, metavar=("SIZE_PX", "SPACING_MM"))
    return parser.parse_args()


def reader_of(given: argparse.Namespace) -> Reader:
    """The reader that the options ask for."""
    return Reader((given.roi[0], given.roi[1]), PatchSpec(int(given.patch[0]), given.patch[1]))
