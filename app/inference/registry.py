"""The model a process serves: verified at once, loaded and warmed in the background."""

from __future__ import annotations

from typing import Literal

from app.errors import ModelLoading
from app.inference.backends import Backend
from app.inference.bundle import Bundle
from app.inference.model import Model

Status = Literal["loading", "ready", "failed", "stopping"]


class ModelRegistry:
    """Knows the bundle from the start and the running model once `load` is done."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.status: Status = "loading"
        self._backend = backend
        self._model: Model | None = None

    @property
    def backend_name(self) -> str:
        """The runtime in use."""
        return self._backend.name

    def load(self) -> None:
        """Load, run the golden case and become ready. Blocking; raises BundleError and is `failed` then."""
        try:
            self._model = Model.load(self.bundle, self._backend)
        except BaseException:
            self.status = "failed"
            raise
        if self.status == "loading":
            self.status = "ready"

    def stop(self) -> None:
        """Say that no new traffic is wanted; requests already here are still answered."""
        self.status = "stopping"

    def model(self) -> Model:
        """The running model; raises ModelLoading until there is one."""
        if self._model is None:
            raise ModelLoading(
                found=f"the model {self.bundle.manifest.name}: {self.status}",
                expected="a model that has passed its golden case",
                remedy="Try again after the seconds in Retry-After; /health/ready says when.",
            )
        return self._model
