"""The networks of the bundles as such: numbers in, numbers out, nothing decided.

Clients of other model servers ask for these. Whoever wants a judgement asks `app.judgement`: it looks at what a network
was not made for, and a network alone does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.errors import BatchTooLarge, InvalidTensor, ModelLoading, UnknownModel, UnknownVersion
from app.inference.backends import Backend, Outputs
from app.inference.bundle import GoldenCase

NetworkState = Literal["loading", "ready", "failed", "stopping"]
STABLE: Final = "stable"  # the label of the version that judges
MOST_SAID: Final = 8  # dimensions of a wrong shape

Shape = tuple[int, ...]


class Signature(Protocol):
    """What a manifest of any kind says of its network."""

    @property
    def name(self) -> str:
        """Of the bundle."""
        ...

    @property
    def version(self) -> int:
        """Of the bundle."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """Their names."""
        ...

    @property
    def golden(self) -> GoldenCase:
        """One input and its outputs, which have the shapes of all others."""
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """One version of a bundle's network: float32 (N, *input_shape) in, float32 (N, *shape) out for each output.

    `state` says whether its backend has loaded it.
    """

    name: str
    version: str
    digest: str
    label: str
    input_name: str
    input_shape: Shape
    outputs: Mapping[str, Shape]
    backend: Backend
    state: Callable[[], NetworkState]

    @classmethod
    def of(
        cls,
        manifest: Signature,
        digest: str,
        backend: Backend,
        state: Callable[[], NetworkState],
        input_name: str = "hu",
    ) -> Network:
        """The network that a manifest describes, as the version that judges."""
        golden = manifest.golden
        shapes = {name: golden.outputs[name].shape for name in manifest.outputs}
        return cls(
            manifest.name, str(manifest.version), digest, STABLE, input_name, golden.input_shape, shapes, backend, state
        )

    def require_loaded(self) -> None:
        """Raise ModelLoading until it can run."""
        if (state := self.state()) not in ("ready", "stopping"):
            raise ModelLoading(
                found=f"the model {self.name}: {state}",
                expected="a model that has passed its golden case",
                remedy="Try again after the seconds in Retry-After.",
            )

    def require_batch(self, shape: Sequence[int], most: int) -> None:
        """Raise InvalidTensor unless this is the shape of one input or more, BatchTooLarge for more than `most`."""
        if not shape or shape[0] < 1 or tuple(shape[1:]) != self.input_shape:
            raise InvalidTensor(
                found=f"a tensor of shape {list(shape[:MOST_SAID])}",
                expected=f"[N, {', '.join(map(str, self.input_shape))}] with N of 1 and more",
                remedy="The metadata of the model say what it takes.",
            )
        if shape[0] > most:
            raise BatchTooLarge(
                found=f"{shape[0]} inputs in one request",
                expected=f"at most {most}",
                remedy="Send less at once; the operator can raise LUNGSCOPE_MAX_PATCHES.",
            )

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """The outputs for a finite float32 (N, *input_shape), all of it in one pass. Thread-safe.

        Raises InvalidTensor for numbers that are infinite or none.
        """
        if not np.isfinite(batch).all():
            raise InvalidTensor(
                found="a value that is no finite number",
                expected="finite numbers of single precision",
                remedy="Fill gaps before: outside the body with air, -1000 HU.",
            )
        found = self.backend.run(batch)
        return {name: found[name] for name in self.outputs}


class Networks:
    """The networks of a service, by name, version and label."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def replace(self, name: str, networks: Iterable[Network]) -> None:
        """Put other versions of a model in the place of those that there are; readers see the ones or the others."""
        self._networks = (*networks, *(each for each in self._networks if each.name != name))

    def versions(self, name: str) -> tuple[Network, ...]:
        """All versions of a model; raises UnknownModel."""
        found = tuple(each for each in self._networks if each.name == name)
        if not found:
            raise UnknownModel(
                found="the name of a model that this service does not have",
                expected=" or ".join(dict.fromkeys(each.name for each in self._networks)),
                remedy="GET /v1/models lists the models.",
            )
        return found

    def named(self, name: str, version: str | None = None) -> Network:
        """One version of a model, or the one that judges; raises UnknownModel and UnknownVersion."""
        versions = self.versions(name)
        wanted = (each for each in versions if (each.label == STABLE if version is None else each.version == version))
        return self._one(wanted, [each.version for each in versions])

    def labelled(self, name: str, label: str) -> Network:
        """The version of a model with a label; raises UnknownModel and UnknownVersion."""
        versions = self.versions(name)
        return self._one((each for each in versions if each.label == label), [each.label for each in versions])

    @staticmethod
    def _one(wanted: Iterable[Network], there: Sequence[str]) -> Network:
        for network in wanted:
            return network
        raise UnknownVersion(
            found="a version or label of a model that this service does not have",
            expected=" or ".join(dict.fromkeys(there)),
            remedy="GET /v1/models/{name}/versions lists them.",
        )
