"""The use case: what the recurrent network says of each finding of a series, beside what was decided.

It is asked after the decision, by a caller who wants it, and changes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from app.errors import ModelLoading, SecondOpinionOff
from app.imaging.volume import CTVolume
from app.inference.backends import Backend
from app.inference.prediction import Finding, Prediction, SecondOpinion, SliceOutline
from app.inference.sequence import MaskedSlice, NoduleSequence
from app.inference.signatures import find_signed

MIN_SLICES: Final = 2  # one slice is no sequence, and the classifier has judged it
SequenceState = Literal["ready", "absent", "loading", "failed"]


@dataclass(slots=True)
class SecondOpinions:
    """Gives second opinions with the recurrent network once `load` is done; without one it gives none. Thread-safe."""

    network: NoduleSequence | None = None
    state: SequenceState = "absent"

    @classmethod
    def verified(cls, models_dir: Path, name: str, backend: Backend, trusted_key: Path | None = None) -> SecondOpinions:
        """With the highest version of the network under a folder, not loaded; without its folder, without one.

        Raises BundleError naming what differs; with a `trusted_key` the network must be signed by it.
        """
        if not (models_dir / name.partition("/")[0]).is_dir():
            return cls()
        return cls(NoduleSequence.verified(find_signed(models_dir, name, trusted_key), backend), "loading")

    def load(self) -> None:
        """Load the network, if there is one. Blocking; raises BundleError, and is `failed` then."""
        if self.network is None:
            return
        try:
            self.network.load()
        except BaseException:
            self.state = "failed"
            raise
        self.state = "ready"

    def require(self) -> NoduleSequence:
        """The running network; raises SecondOpinionOff where there is none, and ModelLoading until there is."""
        if self.network is None or self.state in ("absent", "failed"):
            found = "no bundle for it" if self.network is None else "a bundle that could not be loaded"
            raise SecondOpinionOff(
                found=f"a request for second opinions and {found}",
                expected="a service with a bundle of the recurrent network over slices",
                remedy="Leave second_opinion out, or put the bundle that LUNGSCOPE_SEQUENCE names into the folder.",
            )
        if self.state == "loading":
            raise ModelLoading(
                found="the recurrent network over slices: loading",
                expected="a network that has passed its golden case",
                remedy="Try again after the seconds in Retry-After.",
            )
        return self.network


def with_opinions(prediction: Prediction, volume: CTVolume, network: NoduleSequence) -> Prediction:
    """The prediction for a volume with a second opinion on each finding, and nothing else changed."""
    findings = [replace(each, second_opinion=opinion_on(each, volume, network)) for each in prediction.findings]
    return replace(prediction, findings=tuple(findings))


def opinion_on(finding: Finding, volume: CTVolume, network: NoduleSequence) -> SecondOpinion:
    """The opinion on one finding of a volume, or why there is none.

    The slices are those that the classifier has outlined; it says nothing of what that could not judge.
    """
    if finding.probability is None:
        return SecondOpinion(None, 0, "not_judged")
    slices = outlined_slices(finding.outlines, volume, network.manifest.input.inset_px)
    if len(slices) < MIN_SLICES:
        return SecondOpinion(None, len(slices), "too_few_slices")
    if max(each.extent_mm for each in slices) > network.manifest.input.field_mm:
        return SecondOpinion(None, len(slices), "too_large")
    return SecondOpinion(network.probability(slices), len(slices), None)


def outlined_slices(outlines: Sequence[SliceOutline], volume: CTVolume, inset_px: float) -> list[MaskedSlice]:
    """The slices of a volume on which a nodule is outlined, each cut out along its outline."""
    heights_mm: list[float] = volume.heights_mm.tolist()
    slices = ((volume.slice_at(each.index), each) for each in outlines)
    return [
        MaskedSlice.outlined(shown.hu, each.points_px, shown.spacing_mm, heights_mm[each.index], inset_px)
        for shown, each in slices
    ]
