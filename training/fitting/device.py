"""Where Keras computes: the device, and what makes PyTorch repeat itself there."""

from __future__ import annotations

import os
from importlib import import_module

import keras


def prepare_device() -> str:
    """Set the backend up for repeatable training and say in words where it will run.

    Keras takes a GPU where the backend finds one; KERAS_TORCH_DEVICE, CUDA_VISIBLE_DEVICES or JAX_PLATFORMS choose
    another device.
    """
    backend = keras.backend.backend()
    return f"{backend} on {_prepare_torch()}" if backend == "torch" else f"{backend}, Keras {keras.__version__}"


def usable_cores() -> int:
    """Processor cores this process may use, at least 1; a container's CPU quota does not show in it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare_torch() -> str:
    torch = import_module("torch")  # never at the top: training must run where there is no PyTorch
    if torch.get_num_threads() != usable_cores():
        torch.set_num_threads(usable_cores())
    device = str(keras.ops.zeros(()).device)
    if device.startswith("cuda"):
        # cuBLAS repeats itself only with a workspace of fixed size, which must be asked for before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device}, {torch.get_num_threads()} threads"
