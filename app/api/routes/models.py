"""The models of this service: list, details and model cards."""

from __future__ import annotations

import asyncio
import pathlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Response
from fastapi.openapi.models import Example

from app.api import model_cards, schemas
from app.api.deps import Services, ServicesDep, authorise
from app.api.examples import MODEL, MODELS
from app.api.problems import responses_for
from app.api.shadow_answer import shadow_answer
from app.errors import UnknownJob, UnknownModel, UnknownResult, UnknownVersion
from app.inference.bundle import CARD_FILE
from app.inference.canaries import SHADOW

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(authorise)])
OF_OTHERS: Final = (UnknownResult, UnknownJob, UnknownVersion)
SHIPPED: Final[dict[str, Example]] = {"shipped": {"summary": "The shipped model", "value": "nodule-classifier"}}
LISTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/json": MODELS}},
    **responses_for(500),
}
DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/json": MODEL}},
    **responses_for(404, 500, without=OF_OTHERS),
}
VERSIONS: Final[dict[int | str, dict[str, Any]]] = responses_for(404, 500, without=OF_OTHERS)
SHADOWED: Final[dict[int | str, dict[str, Any]]] = responses_for(404, 500, without=(UnknownResult, UnknownJob))
Detail = (
    schemas.ModelDetail
    | schemas.DetectorDetail
    | schemas.SecondLookDetail
    | schemas.ViewDetail
    | schemas.TaggerDetail
    | schemas.SequenceDetail
)
Name = Annotated[str, Path(description="Name of the model.", openapi_examples=SHIPPED)]


@router.get("", summary="List the models", responses=LISTED)
async def list_models(services: ServicesDep) -> schemas.ModelList:
    """Identity, digest, backend and state of each model of this service."""
    registry = services.registry
    summaries = (
        model_cards.model_summary,
        model_cards.detector_summary,
        model_cards.second_look_summary,
        model_cards.view_summary,
    )
    models = [summary(registry) for summary in summaries]
    if (tagger := services.reader.tagger) is not None:
        models.append(model_cards.tagger_summary(services.reader, tagger))
    if (sequence := services.judge.opinions.network) is not None:
        models.append(model_cards.sequence_summary(services.judge.opinions, sequence))
    return schemas.ModelList(models=models)


@router.get("/{name}", summary="Describe one model", responses=DESCRIBED)
async def describe_model(name: Name, services: ServicesDep) -> Detail:
    """Input contract, labels, thresholds, training data and measured performance of the version that judges, and the
    state of all versions."""
    detail, versions = _detail(name, services), services.networks.versions(name)
    states = [model_cards.version_status(each.version, each.state()) for each in versions]
    return detail.model_copy(update={"model_version_status": states})


@router.get("/{name}/versions", summary="List the versions of a model", responses=VERSIONS)
async def list_versions(name: Name, services: ServicesDep) -> schemas.VersionList:
    """The versions that are loaded, by the label `stable` the one that judges."""
    return model_cards.version_list(services.networks.versions(name))


@router.get("/{name}/shadow", summary="How another version would have judged", responses=SHADOWED)
async def describe_shadow(name: Name, services: ServicesDep) -> schemas.ShadowAnswer:
    """A shadow judges a sample of what the version `stable` judges. Nobody is answered with it; here are the
    differences."""
    judging, shadow = services.networks.named(name), services.networks.labelled(name, SHADOW)
    counts = await asyncio.to_thread(services.metrics.shadow_counts, judging.version, shadow.version)
    return shadow_answer(judging, shadow, services.settings.shadow_share, counts)


def _detail(name: str, services: Services) -> Detail:
    registry = services.registry
    if name == registry.detector_bundle.manifest.name:
        return model_cards.detector_detail(registry)
    if name == registry.second_look_bundle.manifest.name:
        return model_cards.second_look_detail(registry)
    if name == registry.view_bundle.manifest.name:
        return model_cards.view_detail(registry)
    if name == registry.bundle.manifest.name:
        return model_cards.model_detail(registry)
    if (tagger := services.reader.tagger) is not None and name == tagger.manifest.name:
        return model_cards.tagger_detail(services.reader, tagger)
    if (sequence := services.judge.opinions.network) is not None and name == sequence.manifest.name:
        return model_cards.sequence_detail(services.judge.opinions, sequence)
    raise _unknown(services)


@router.get(
    "/{name}/card",
    summary="Read a model's card",
    response_class=Response,
    responses={
        200: {
            "description": "The model card, Markdown.",
            "content": {"text/markdown": {"schema": {"type": "string"}, "example": "# nodule-classifier 1"}},
        },
        **responses_for(404, 500, without=OF_OTHERS),
    },
)
async def model_card(name: Name, services: ServicesDep) -> Response:
    """Intended use, data, metrics with their meaning, and warnings, as written at training time."""
    folder = _folders(services).get(name)
    if folder is None:
        raise _unknown(services)
    return Response((folder / CARD_FILE).read_text("utf-8"), media_type="text/markdown; charset=utf-8")


def _folders(services: Services) -> dict[str, pathlib.Path]:
    """The folder of each bundle, by its name."""
    registry = services.registry
    optional = [each for each in (services.reader.tagger, services.judge.opinions.network) if each is not None]
    return {each.manifest.name: each.path for each in (*registry.bundles, registry.view_bundle, *optional)}


def _unknown(services: Services) -> UnknownModel:
    return UnknownModel(
        found="the name of a model that this service does not have",
        expected=" or ".join(_folders(services)),
        remedy="GET /v1/models lists the models.",
    )
