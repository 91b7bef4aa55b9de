"""Where a bundle comes from: the run that learned its weights, their data, and the bundle that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parent(_Frozen):
    """The bundle from which one was made without training: its identity, what was changed, and by which data."""

    name: str
    version: int
    digest: str
    change: str
    data: Mapping[str, str]


class Lineage(_Frozen):
    """`run` is the sha256 of training.json, `evaluation` that of evaluation.json, `data` the digest of each source.

    Of a bundle that was made from another they are that one's, and None where that one does not say.
    """

    recipe: str | None = None
    run: str | None = None
    evaluation: str | None = None
    data: Mapping[str, str] = {}
    parent: Parent | None = None

    def sentences(self) -> Iterator[str]:
        """What there is to say, for people."""
        if self.parent is not None:
            made = self.parent
            yield f"made from {made.name}/{made.version} {made.digest}: {made.change} ({_listed(made.data)})"
        if self.run is not None:
            yield f"weights by run {self.run} of recipe {self.recipe} on {_listed(self.data)}"
        if self.evaluation is not None:
            yield f"figures and calibration by evaluation {self.evaluation}"


def _listed(data: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest}" for name, digest in data.items())
