"""Which model this is."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response
from fastapi.openapi.models import Example

from app.api import schemas
from app.api.deps import ServicesDep, authorise
from app.api.problems import responses_for
from app.errors import UnknownModel
from app.inference.registry import ModelRegistry

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(authorise)])
SHIPPED: Final[dict[str, Example]] = {"shipped": {"summary": "The shipped model", "value": "nodule-classifier"}}
Name = Annotated[str, Path(description="Name of the model.", openapi_examples=SHIPPED)]


@router.get("", summary="List the models", responses=responses_for(401, 500))
async def list_models(services: ServicesDep) -> schemas.ModelList:
    """Identity, digest, backend and state of each model of this service."""
    return schemas.ModelList(models=[schemas.model_summary(services.registry)])


@router.get("/{name}", summary="Describe one model", responses=responses_for(401, 404, 500))
async def describe_model(name: Name, services: ServicesDep) -> schemas.ModelDetail:
    """Input contract, labels, thresholds, training data and measured performance of a model."""
    return schemas.model_detail(_known(services.registry, name))


@router.get(
    "/{name}/card",
    summary="Read a model's card",
    response_class=Response,
    responses={
        200: {
            "description": "The model card, Markdown.",
            "content": {"text/markdown": {"schema": {"type": "string"}, "example": "# Model card: nodule-classifier"}},
        },
        **responses_for(401, 404, 500),
    },
)
async def model_card(name: Name, services: ServicesDep) -> Response:
    """Intended use, data, metrics with their meaning, and warnings, as written at training time."""
    card = _known(services.registry, name).bundle.card
    return Response(card, media_type="text/markdown; charset=utf-8")


def _known(registry: ModelRegistry, name: str) -> ModelRegistry:
    if name != registry.bundle.manifest.name:
        raise UnknownModel(
            found="a model name that is not served here",
            expected=registry.bundle.manifest.name,
            remedy="GET /v1/models lists the models.",
        )
    return registry
