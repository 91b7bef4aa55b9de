"""Which networks the dialects offer, and how one is run for a client."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from app import telemetry
from app.api.deps import Services, actor_of
from app.audit.receipts import digest_of
from app.inference.backends import Outputs
from app.inference.networks import Network, Networks, NetworkState
from app.inference.registry import ModelRegistry
from app.inference.second_opinion import SecondOpinions
from app.text.reader import ReportReader


def networks_of(registry: ModelRegistry, reader: ReportReader, opinions: SecondOpinions) -> Networks:
    """The networks of all bundles of a service."""
    return Networks(_networks(registry, reader, opinions))


def _networks(registry: ModelRegistry, reader: ReportReader, opinions: SecondOpinions) -> Iterator[Network]:
    def state() -> NetworkState:
        return registry.status

    yield Network.of(registry.bundle.manifest, registry.bundle.digest, registry.backend, state)
    for part in (registry.detector_bundle, registry.second_look_bundle, registry.view_bundle):
        yield Network.of(part.manifest, part.digest, part.backend, state)
    if (tagger := reader.tagger) is not None:
        ids = tagger.manifest.input.name
        yield Network.of(tagger.manifest, tagger.digest, tagger.backend, lambda: _of_optional(reader.state), ids)
    if (network := opinions.network) is not None:
        slices = network.manifest.input.name
        yield Network.of(
            network.manifest, network.digest, network.backend, lambda: _of_optional(opinions.state), slices
        )


def _of_optional(state: str) -> NetworkState:
    return "ready" if state == "ready" else "failed" if state == "failed" else "loading"


def outputs_for(request: Request, services: Services, network: Network, batch: NDArray[np.float32]) -> Outputs:
    """What a network says of a batch that a client sent, counted and put on record.

    Raises InvalidTensor, AuditFull and AuditUnavailable.
    """
    outputs = network.run(batch)
    services.metrics.network_inputs(network.name, network.version).inc(len(batch))
    if services.records.trail is not None:
        models = {f"{network.name}/{network.version}": network.digest}
        services.records.happened(
            "run_network",
            actor_of(request),
            telemetry.request_id.get(),
            input=digest_of(batch.tobytes()),
            models=models,
        )
    return outputs
