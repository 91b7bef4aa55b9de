"""Open Inference Protocol (KServe v2): the networks, and the judgement of a slice as the model `lungscope-slice`."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.openapi.models import Example

from app import __version__, telemetry
from app.api.deps import LanguageDep, Services, ServicesDep, actor_of, authorise
from app.api.dialects.open_inference import (
    JSON_LENGTH,
    OCTETS,
    Tensor,
    batch_of,
    file_of,
    json_length,
    read,
    texts_of,
    wanted,
    written,
)
from app.api.dialects.schemas import (
    INFERENCE_BODY,
    InferenceAnswer,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from app.api.dialects.served import outputs_for
from app.api.dialects.tensors import BYTES, FP32
from app.api.dialects.turn import in_turn
from app.api.negotiation import JSON, LANGUAGE_PARAMETER
from app.api.problems import OF_ARCHIVES, OF_FORMS, OF_STORAGE, responses_for
from app.api.readiness import readiness
from app.errors import (
    NoDicomSource,
    ResultNotWritten,
    UnfitSeries,
    UnknownJob,
    UnknownResult,
    UnknownVersion,
    UnreadableText,
)
from app.inference.networks import Network, Shape
from app.inference.vocabulary import Language
from app.judgement.answers import json_answer
from app.judgement.parameters import parse_parameters, require_fhir

router = APIRouter(prefix="/v2", tags=["open inference protocol"])
GUARDED: Final = [Depends(authorise)]
SLICE: Final = "lungscope-slice"  # the model that is the whole judgement of one slice
IMAGE: Final = "image"
ANSWER: Final = "answer"
SAVED_MODEL: Final = "tensorflow_savedmodel"
EXTENSIONS: Final = ["binary_tensor_data"]
SHIPPED: Final[dict[str, Example]] = {"slice": {"summary": "The judgement of a slice", "value": SLICE}}
OF_OTHERS: Final = (
    *OF_FORMS,
    *OF_ARCHIVES,
    *OF_STORAGE,
    *(NoDicomSource, ResultNotWritten, UnfitSeries, UnreadableText),
)
LENGTH_PARAMETER: Final = {
    "name": JSON_LENGTH,
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of the JSON at the beginning of the body, where tensors follow it as bytes.",
}
OF_INFERENCE: Final[dict[str, Any]] = {
    "response_model": InferenceAnswer,
    "responses": {
        200: {"content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}},
        **responses_for(400, 404, 408, 413, 415, 422, 503, 507, 500, without=OF_OTHERS),
    },
    "openapi_extra": {"requestBody": INFERENCE_BODY, "parameters": [LENGTH_PARAMETER, LANGUAGE_PARAMETER]},
    "dependencies": GUARDED,
}
OF_METADATA: Final[dict[str, Any]] = {
    "responses": responses_for(404, 500, without=(UnknownResult, UnknownJob)),
    "dependencies": GUARDED,
}
NOT_READY: Final[dict[int | str, dict[str, Any]]] = {
    503: {
        "model": ServerReady,
        "description": "Not ready, and why.",
        "content": {JSON: {"example": {"live": True, "ready": False, "reason": "model loading"}}},
    }
}
NOT_LIVE: Final[dict[int | str, dict[str, Any]]] = {
    503: {
        "model": ServerLive,
        "description": "A thread has been at one slice for minutes.",
        "content": {JSON: {"example": {"live": False}}},
    }
}
NO_MODEL: Final[dict[int | str, dict[str, Any]]] = {
    **responses_for(404, 500, without=(UnknownResult, UnknownJob)),
    503: {
        "model": ModelReady,
        "description": "The model cannot run.",
        "content": {JSON: {"example": {"name": SLICE, "ready": False}}},
    },
}
Name = Annotated[str, Path(description="Name of the model.", openapi_examples=SHIPPED)]
Version = Annotated[str, Path(description="Version of the model, as its metadata name it.")]


@router.get("", summary="What server this is", dependencies=GUARDED, responses=responses_for(500))
async def server_metadata() -> ServerMetadata:
    """Name, version and extensions of the protocol that this server speaks."""
    return ServerMetadata(name="lungscope", version=__version__, extensions=EXTENSIONS)


@router.get("/health/live", summary="Does the process do its work?", responses=NOT_LIVE)
async def live(services: ServicesDep, response: Response) -> ServerLive:
    """As `/health/live`."""
    stuck = services.engine.stuck()
    response.status_code = 503 if stuck else 200
    return ServerLive(live=not stuck)


@router.get("/health/ready", summary="May it get traffic?", responses=NOT_READY)
async def ready(services: ServicesDep, response: Response) -> ServerReady:
    """As `/health/ready`."""
    health = await readiness(services, response)
    return ServerReady(live=health.status == "ok", ready=health.status == "ok", reason=health.reason)


@router.get("/models/{name}", summary="What a model takes and gives", **OF_METADATA)
async def metadata(name: Name, services: ServicesDep) -> ModelMetadata:
    """Inputs and outputs of the network of a bundle, or of `lungscope-slice`: one image file in, the answer of
    `/v1/predict` out."""
    return _metadata(services, name, None)


@router.get("/models/{name}/versions/{version}", summary="What a version takes and gives", **OF_METADATA)
async def metadata_of_version(name: Name, version: Version, services: ServicesDep) -> ModelMetadata:
    """The same of one version."""
    return _metadata(services, name, version)


@router.get("/models/{name}/ready", summary="Can a model run?", dependencies=GUARDED, responses=NO_MODEL)
async def model_ready(name: Name, services: ServicesDep, response: Response) -> ModelReady:
    """200 once it has passed its golden case."""
    return _ready(services, response, name, None)


@router.get(
    "/models/{name}/versions/{version}/ready", summary="Can a version run?", dependencies=GUARDED, responses=NO_MODEL
)
async def version_ready(name: Name, version: Version, services: ServicesDep, response: Response) -> ModelReady:
    """The same of one version."""
    return _ready(services, response, name, version)


@router.post("/models/{name}/infer", summary="Run a model", **OF_INFERENCE)
async def infer(name: Name, request: Request, services: ServicesDep, language: LanguageDep) -> Response:
    """Run the network of a bundle on patches in HU, all in one pass, or have `lungscope-slice` judge an image file.

    A network says what it says of any numbers: whether it was made for them, and what follows, only a judgement says.
    """
    return await _infer(request, services, language, name, None)


@router.post("/models/{name}/versions/{version}/infer", summary="Run a version", **OF_INFERENCE)
async def infer_with_version(
    name: Name, version: Version, request: Request, services: ServicesDep, language: LanguageDep
) -> Response:
    """The same with one version."""
    return await _infer(request, services, language, name, version)


def _network(services: Services, name: str, version: str | None) -> Network | None:
    """The network that is asked for, None where it is the judgement of a slice; raises UnknownModel, UnknownVersion."""
    if name != SLICE:
        return services.networks.named(name, version)
    if version not in (None, __version__):
        raise UnknownVersion(
            found=f"a version of {SLICE} that this service is not",
            expected=__version__,
            remedy="Leave the version out, or ask the service that has it.",
        )
    return None


def _metadata(services: Services, name: str, version: str | None) -> ModelMetadata:
    network = _network(services, name, version)
    if network is None:
        image, answer = (TensorMetadata(name=each, datatype=BYTES, shape=[1]) for each in (IMAGE, ANSWER))
        return ModelMetadata(name=name, versions=[__version__], platform="lungscope", inputs=[image], outputs=[answer])
    return ModelMetadata(
        name=name,
        versions=[each.version for each in services.networks.versions(name)],
        platform=SAVED_MODEL,
        inputs=[_numbers(network.input_name, network.input_shape)],
        outputs=[_numbers(output, shape) for output, shape in network.outputs.items()],
    )


def _numbers(name: str, shape: Shape) -> TensorMetadata:
    return TensorMetadata(name=name, datatype=FP32, shape=[-1, *shape])


def _ready(services: Services, response: Response, name: str, version: str | None) -> ModelReady:
    network = _network(services, name, version)
    state = services.registry.status if network is None else network.state()
    response.status_code = 200 if state == "ready" else 503
    return ModelReady(name=name, ready=state == "ready")


async def _infer(request: Request, services: Services, language: Language, name: str, version: str | None) -> Response:
    began = time.perf_counter()
    network = _network(services, name, version)
    services.records.require()
    length = json_length(request)
    limit = services.tensor_limit if length is None else services.slice_limit
    if network is not None:
        network.require_loaded()
        return await in_turn(request, services, limit, lambda body: _run(request, services, network, body, length))
    services.registry.models()
    return await in_turn(
        request, services, limit, lambda body: _judge(request, services, language, body, length, began)
    )


def _run(
    request: Request, services: Services, network: Network, body: bytes | memoryview, length: int | None
) -> Response:
    sent = read(body, length, services.tensor_limit)
    binary = wanted(sent, tuple(network.outputs))
    outputs = outputs_for(request, services, network, batch_of(sent, network, services.settings.max_patches))
    return written(network.name, network.version, sent, [Tensor(*each) for each in outputs.items()], binary)


def _judge(
    request: Request,
    services: Services,
    language: Language,
    body: bytes | memoryview,
    length: int | None,
    began: float,
) -> Response:
    sent = read(body, length, services.tensor_limit)
    binary = wanted(sent, (ANSWER,))
    parameters = parse_parameters(texts_of(sent))
    require_fhir(parameters, "json")
    judgement = services.judge.slice(file_of(sent, IMAGE), parameters, began)
    request_id, records = telemetry.request_id.get() or "", services.records
    if records.kept:
        answer = records.judged("judge_slice", actor_of(request), judgement, language, request_id).answer
    else:
        answer = json_answer(judgement, language, request_id)
    return written(SLICE, __version__, sent, [Tensor(ANSWER, answer)], binary)
