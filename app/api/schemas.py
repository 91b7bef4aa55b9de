"""The bodies of answers about the service and its models; `app.judgement.answer_types` has those of judgements."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.inference.bundle import OperatingPoint, Performance, TrainingData
from app.inference.detector import DetectorPerformance, HardNegatives, ScoreThreshold, SecondReader
from app.inference.registry import Status
from app.inference.sequence import SequencePerformance
from app.inference.suspicion import ScanPoint, ScoreRule
from app.inference.view import ViewPerformance
from app.text.statements import Language
from app.text.tagger import TaggerLabel, TaggerPerformance


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModelSummary(_Schema):
    """Identity and state of a loaded model."""

    name: str
    version: str
    digest: str
    description: str
    backend: str
    status: Status


class ModelList(_Schema):
    """The models of this service."""

    models: list[ModelSummary]


class VersionError(_Schema):
    """Why a version cannot run; OK where nothing has failed."""

    error_code: Literal["OK", "INTERNAL"]
    error_message: str


class VersionStatus(_Schema):
    """State of one version, in the words of TensorFlow Serving."""

    version: str
    state: Literal["LOADING", "AVAILABLE", "UNLOADING", "END"]
    status: VersionError


class StatusAnswer(_Schema):
    """What TensorFlow Serving says of the state of a model."""

    model_version_status: list[VersionStatus]


class ModelVersion(_Schema):
    """A version of a model that is loaded: `stable` judges, others stand beside it."""

    version: str
    label: str
    digest: str
    backend: str
    status: Status


class VersionList(_Schema):
    """The versions of a model, the one that judges first."""

    versions: list[ModelVersion]


class Proportion(_Schema):
    """So many of those that were compared, and the 95 % interval of their share (Wilson); null before any was."""

    count: int
    share: float | None
    low: float | None
    high: float | None


class Flips(_Schema):
    """Decisions that the shadow turns into a suspicion, and suspicions that it turns into another decision."""

    to_suspected: Proportion
    from_suspected: Proportion


class DecisionPair(_Schema):
    """How often one decision was answered and the other was the shadow's."""

    answered: str
    shadow: str
    count: int


class ShadowRequests(_Schema):
    """Judgements since there is this shadow: repeated by it, not drawn, dropped for want of idle room, failed in it."""

    compared: int
    not_sampled: int
    busy: int
    failed: int


class DifferenceBucket(_Schema):
    """How many differences lie in a range, its upper end included; in the first also none at all."""

    above: float
    up_to: float
    count: int


class Differences(_Schema):
    """How far the probabilities lie apart, where both versions give one."""

    count: int
    mean: float | None
    buckets: list[DifferenceBucket]


class ShadowAnswer(_Schema):
    """What a version would have answered in place of the one that judges, counted in all workers since the start."""

    judging: str
    shadow: str
    share: Annotated[float, Field(description="LUNGSCOPE_SHADOW_SHARE: the part of the judgements that is drawn")]
    status: Status
    requests: ShadowRequests
    flips: Flips
    decisions: list[DecisionPair]
    probability_difference: Differences


class Described(ModelSummary):
    """What is said of a model of any kind, with what clients of TensorFlow Serving look for."""

    model_version_status: list[VersionStatus] = Field(default_factory=list)


class ModelDetail(Described):
    """Everything about a model but its weights."""

    intended_use: str
    created: str
    input: dict[str, object]
    labels: list[dict[str, str]]
    operating_point: OperatingPoint
    operating_point_in_force: Annotated[
        float, Field(description="LUNGSCOPE_OPERATING_POINT where the site has set it, else the bundle's")
    ]
    conformal_coverage: float
    nodule_threshold: float
    training_data: list[TrainingData]
    performance: Performance


class DetectorDetail(Described):
    """Everything about the detector but its weights."""

    intended_use: str
    created: str
    input: dict[str, object]
    slice_threshold: ScoreThreshold
    series_threshold: ScoreThreshold
    second_reader: SecondReader | None
    training_data: list[TrainingData]
    hard_negatives: list[HardNegatives]
    performance: DetectorPerformance


class SecondLookDetail(Described):
    """Everything about the second look but its weights."""

    intended_use: str
    created: str
    input: dict[str, object]
    rule: ScoreRule
    slice_point: ScanPoint
    series_point: ScanPoint
    filter_digest: str
    classifier_digest: str | None
    training_data: list[TrainingData]
    performance: DetectorPerformance


class ViewDetail(Described):
    """Everything about the check whether there is a chest to be searched but its weights."""

    intended_use: str
    created: str
    input: dict[str, object]
    rejected_below: float
    doubtful_below: float
    training_data: list[TrainingData]
    performance: ViewPerformance


class TaggerDetail(Described):
    """Everything about the tagger of reports but its weights and its vocabulary."""

    intended_use: str
    created: str
    input: dict[str, object]
    languages: list[Language]
    labels: list[TaggerLabel]
    threshold: float
    training_data: list[TrainingData]
    performance: TaggerPerformance


class SequenceDetail(Described):
    """Everything about the recurrent network over slices but its weights."""

    intended_use: str
    created: str
    input: dict[str, object]
    training_data: list[TrainingData]
    performance: SequencePerformance


class Health(_Schema):
    """Whether the service lives, or may get traffic, and why not."""

    status: Literal["ok", "unavailable"]
    reason: str
