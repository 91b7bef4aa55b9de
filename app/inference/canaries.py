"""Versions of bundles that are loaded beside those that judge: clients can ask their networks, no answer depends on
them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from app.inference.backends import Backend
from app.inference.bundle import Bundle, Manifest
from app.inference.golden import check_golden
from app.inference.model import Model
from app.inference.networks import Network, NetworkState, Signature

CANARY: Final = "canary"  # the label of such versions
SHADOW: Final = "shadow"  # of the one that judges a sample as well
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Canary:
    """A verified version of a bundle, and the backend that runs it once `load` is done."""

    path: Path
    manifest: Signature
    digest: str
    backend: Backend
    label: str = CANARY
    state: NetworkState = "loading"

    def load(self) -> None:
        """Load it and run its golden case. Blocking; raises BundleError, and is `failed` then."""
        golden = self.manifest.golden
        try:
            self.backend.load(self.path)
            check_golden(golden, self.backend.run(golden.batch()), self.backend.name, self.path)
        except BaseException:
            self.state = "failed"
            raise
        self.state = "ready"

    def network(self, input_name: str) -> Network:
        """Its network."""
        own = Network.of(self.manifest, self.digest, self.backend, lambda: self.state, input_name)
        return replace(own, label=self.label)

    def model(self, site_threshold: float | None = None) -> Model:
        """It as what judges nodules, once it is loaded; its golden case is run through the path of every request.

        Raises BundleError where that disagrees, and TypeError for a bundle of another kind.
        """
        if not isinstance(self.manifest, Manifest):
            raise TypeError(f"{self.path} judges no nodules")
        model = Model(Bundle(self.path, self.manifest, self.digest), self.backend, site_threshold)
        model.verify_golden()
        return model


def load_canaries(canaries: Iterable[Canary], loaded: Callable[[Signature, str, str], None]) -> None:
    """Load each, and tell `loaded` its manifest, digest and backend. One that cannot be loaded is logged, and `failed`:
    it judges nothing."""
    for canary in canaries:
        try:
            canary.load()
        # Whatever a runtime raises while it loads: what judges is loaded already.
        except Exception as error:
            logger.error("%s cannot be used beside: %s", canary.path.parent.name, error, exc_info=error)
        else:
            loaded(canary.manifest, canary.digest, canary.backend.name)
