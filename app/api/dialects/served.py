"""Which networks the dialects offer, and how one is run for a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from app import telemetry
from app.api.deps import Services, actor_of
from app.audit.receipts import digest_of
from app.errors import SettingsError
from app.inference.backends import Backend, Outputs
from app.inference.bundle import Bundle, Manifest, read_verified
from app.inference.canaries import CANARY, SHADOW, Canary
from app.inference.detector import Detector, DetectorManifest
from app.inference.networks import Network, Networks, NetworkState
from app.inference.registry import ModelRegistry
from app.inference.second_opinion import SecondOpinions
from app.inference.sequence import NoduleSequence, SequenceManifest
from app.inference.signatures import find_signed
from app.inference.suspicion import SecondLook, SuspicionManifest
from app.inference.view import ViewCheck, ViewManifest
from app.settings import Settings
from app.text.reader import ReportReader
from app.text.tagger import Tagger, TaggerManifest

Contract: TypeAlias = Manifest | DetectorManifest | SuspicionManifest | ViewManifest | SequenceManifest | TaggerManifest


def networks_of(
    registry: ModelRegistry,
    reader: ReportReader,
    opinions: SecondOpinions,
    settings: Settings,
    backend: Callable[[], Backend],
) -> tuple[Networks, tuple[Canary, ...]]:
    """The networks of all bundles of a service, and those that stand beside them, each on a `backend` of its own, which
    are not loaded.

    Raises SettingsError, and BundleError where one that stands beside does not match its digests or its contract.
    """
    judging = tuple(_networks(registry, reader, opinions))
    contracts = {each.manifest.name: type(each.manifest) for each in _bundles(registry, reader, opinions)}
    inputs = {each.name: each.input_name for each in judging}
    found = [
        _canary(name, judging, contracts, settings, backend()) for name in sorted(settings.canary, key=_newest_first)
    ]
    if settings.shadow is not None:
        found.append(_shadow(settings.shadow, registry, found, settings, backend()))
    return Networks((*judging, *(each.network(inputs[each.manifest.name]) for each in found))), tuple(found)


def _newest_first(name: str) -> tuple[str, int]:
    model, _, version = name.partition("/")
    return model, -int(version) if version.isdecimal() else 0


def _canary(
    name: str,
    judging: Sequence[Network],
    contracts: Mapping[str, type[Contract]],
    settings: Settings,
    backend: Backend,
) -> Canary:
    model, _, version = name.partition("/")
    if model not in contracts or not version or any((each.name, each.version) == (model, version) for each in judging):
        raise SettingsError(
            found=f"LUNGSCOPE_CANARY with {name}",
            expected=f"name/version of another version of {', '.join(contracts)}",
            remedy="The version that judges is the highest, or the one that LUNGSCOPE_MODEL and its like name.",
        )
    return open_beside(name, contracts[model], settings, backend)


def _shadow(
    name: str, registry: ModelRegistry, beside: Sequence[Canary], settings: Settings, backend: Backend
) -> Canary:
    own = registry.bundle.manifest
    model, _, version = name.partition("/")
    taken = {own.version, *(each.manifest.version for each in beside if each.manifest.name == own.name)}
    if model != own.name or not version or (version.isdecimal() and int(version) in taken):
        raise SettingsError(
            found=f"LUNGSCOPE_SHADOW with {name}",
            expected=f"{own.name}/version, one that neither judges nor is in LUNGSCOPE_CANARY",
            remedy="The version that judges is the highest, or the one that LUNGSCOPE_MODEL names.",
        )
    return open_beside(name, Manifest, settings, backend, SHADOW)


def open_beside(
    name: str, contract: type[Contract], settings: Settings, backend: Backend, label: str = CANARY
) -> Canary:
    """A bundle that stands beside, verified and not loaded; raises BundleError naming what differs."""
    path = find_signed(settings.models_dir, name, settings.trusted_key)
    manifest, digest = read_verified(path, contract)
    return Canary(path, manifest, digest, backend, label)


def _bundles(
    registry: ModelRegistry, reader: ReportReader, opinions: SecondOpinions
) -> Iterator[Bundle | Detector | SecondLook | ViewCheck | Tagger | NoduleSequence]:
    yield from (*registry.bundles, registry.view_bundle)
    yield from (each for each in (reader.tagger, opinions.network) if each is not None)


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
