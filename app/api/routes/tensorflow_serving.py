"""TensorFlow Serving's REST API for the networks of the bundles; `routes/models.py` has the status of a whole model."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.openapi.models import Example

from app.api.deps import Services, ServicesDep, authorise
from app.api.dialects.schemas import PREDICT_BODY, Outputs, Predictions, SignatureAnswer
from app.api.dialects.served import outputs_for
from app.api.dialects.tensorflow_serving import read, signature_of, written
from app.api.dialects.turn import in_turn
from app.api.model_cards import version_status
from app.api.problems import OF_ARCHIVES, OF_FORMS, OF_STORAGE, responses_for
from app.api.schemas import StatusAnswer
from app.errors import (
    DecoderUnavailable,
    MalformedDicom,
    MalformedPicture,
    UnknownJob,
    UnknownResult,
    UnreadableText,
    UnsupportedMediaType,
    UnsupportedTransferSyntax,
)
from app.inference.networks import Network

router = APIRouter(prefix="/v1/models", tags=["tensorflow serving"], dependencies=[Depends(authorise)])
OF_OTHERS: Final = (
    *OF_FORMS,
    *OF_ARCHIVES,
    *OF_STORAGE,
    *(DecoderUnavailable, MalformedDicom, MalformedPicture),
    *(UnreadableText, UnsupportedMediaType, UnsupportedTransferSyntax),
)
SHIPPED: Final[dict[str, Example]] = {"shipped": {"summary": "The shipped model", "value": "nodule-classifier"}}
OF_PREDICT: Final[dict[str, Any]] = {
    "response_model": Predictions | Outputs,
    "responses": responses_for(400, 404, 408, 413, 415, 503, 507, 500, without=OF_OTHERS),
    "openapi_extra": {"requestBody": PREDICT_BODY},
}
OF_METADATA: Final[dict[str, Any]] = {"responses": responses_for(404, 500, without=(UnknownResult, UnknownJob))}
Name = Annotated[str, Path(description="Name of the model.", openapi_examples=SHIPPED)]
Version = Annotated[str, Path(description="Version of the model.")]
Label = Annotated[str, Path(description="`stable` is the version that judges.")]


@router.post("/{name}:predict", summary="Run a network", **OF_PREDICT)
async def predict(name: Name, request: Request, services: ServicesDep) -> Response:
    """Run the network of a bundle, all inputs in one pass.

    A network says what it says of any numbers: whether it was made for them, and what follows, only a judgement says.
    """
    return await _predicted(request, services, services.networks.named(name))


@router.post("/{name}/versions/{version}:predict", summary="Run a version", **OF_PREDICT)
async def predict_with_version(name: Name, version: Version, request: Request, services: ServicesDep) -> Response:
    """The same with one version."""
    return await _predicted(request, services, services.networks.named(name, version))


@router.post("/{name}/labels/{label}:predict", summary="Run the version with a label", **OF_PREDICT)
async def predict_with_label(name: Name, label: Label, request: Request, services: ServicesDep) -> Response:
    """The same with the version of a label."""
    return await _predicted(request, services, services.networks.labelled(name, label))


@router.get("/{name}/metadata", summary="What a network takes and gives", **OF_METADATA)
async def metadata(name: Name, services: ServicesDep) -> SignatureAnswer:
    """The signature of a bundle's SavedModel."""
    return signature_of(services.networks.named(name))


@router.get("/{name}/versions/{version}/metadata", summary="What a version takes and gives", **OF_METADATA)
async def metadata_of_version(name: Name, version: Version, services: ServicesDep) -> SignatureAnswer:
    """The same of one version."""
    return signature_of(services.networks.named(name, version))


@router.get("/{name}/labels/{label}/metadata", summary="What the version with a label takes", **OF_METADATA)
async def metadata_of_label(name: Name, label: Label, services: ServicesDep) -> SignatureAnswer:
    """The same of the version of a label."""
    return signature_of(services.networks.labelled(name, label))


@router.get("/{name}/versions/{version}", summary="State of a version", **OF_METADATA)
async def status_of_version(name: Name, version: Version, services: ServicesDep) -> StatusAnswer:
    """Whether it can run."""
    return _status(services.networks.named(name, version))


@router.get("/{name}/labels/{label}", summary="State of the version with a label", **OF_METADATA)
async def status_of_label(name: Name, label: Label, services: ServicesDep) -> StatusAnswer:
    """Whether it can run."""
    return _status(services.networks.labelled(name, label))


def _status(network: Network) -> StatusAnswer:
    return StatusAnswer(model_version_status=[version_status(network.version, network.state())])


async def _predicted(request: Request, services: Services, network: Network) -> Response:
    services.records.require()
    network.require_loaded()

    def run(body: bytes | memoryview) -> Response:
        asked = read(body, network, services.settings.max_patches)
        return written(asked, outputs_for(request, services, network, asked.batch))

    return await in_turn(request, services, services.tensor_limit, run)
