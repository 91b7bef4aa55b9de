"""Versions of the classifier, moved by an operator while the service runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from app import telemetry
from app.api import schemas
from app.api.deps import Services, ServicesDep, actor_of, authorise
from app.api.model_cards import version_list
from app.api.problems import OF_FORMS, responses_for
from app.errors import (
    DicomwebOff,
    EmptyInput,
    Forbidden,
    SecondOpinionOff,
    UnfitInput,
    UnfitSeries,
    UnknownMethod,
    UnknownResult,
    UnknownVersion,
)
from app.inference.networks import STABLE
from app.versions import wanted
from app.versions.wanted import Versions

MOST_DIGITS: Final = 9


async def operator(services: ServicesDep) -> None:
    """Raise Forbidden where nobody has to say who they are: whoever reaches the service would be its operator."""
    if not services.callers.guarded:
        raise Forbidden(
            found="a service that asks nobody who they are",
            expected="one with keys, and a key with the scope admin",
            remedy="Set LUNGSCOPE_KEYS_FILE, LUNGSCOPE_API_TOKEN or LUNGSCOPE_JWT_ISSUER.",
        )


router = APIRouter(prefix="/v1/models", tags=["versions"], dependencies=[Depends(authorise), Depends(operator)])
OF_OTHERS: Final = (*OF_FORMS, DicomwebOff, EmptyInput, SecondOpinionOff, UnfitInput, UnfitSeries, UnknownMethod)
MOVED: Final[dict[str, Any]] = {
    "responses": responses_for(
        400, 403, 404, 409, 422, 501, 503, 507, 500, without=(*OF_OTHERS, UnknownResult), moving=True
    )
}
Name = Annotated[str, Path(description="Name of the classifier.")]
Version = Annotated[str, Path(description="Version of it.")]
Label = Annotated[
    str,
    Path(
        pattern=r"^[a-z][a-z0-9-]{0,31}$",
        description="`stable` judges, `shadow` judges a sample without answering, any other has its network asked.",
    ),
]


@router.post("/{name}/versions/{version}/load", summary="Load a version beside", **MOVED)
async def load(name: Name, version: Version, request: Request, services: ServicesDep) -> schemas.VersionList:
    """Verify a bundle in the folder of bundles, load it, and have it repeat its golden case; it becomes a `canary`.

    The other workers follow within seconds.
    """
    number = _number(version)
    services.records.require()
    await services.versions.add(name, number)
    return _moved(name, f"load {number}", request, services)


@router.post("/{name}/versions/{version}/unload", summary="Unload a version", **MOVED)
async def unload(name: Name, version: Version, request: Request, services: ServicesDep) -> schemas.VersionList:
    """Unload a version that does not judge. What it has begun it ends."""
    number = _number(version)
    return await _change(name, f"unload {number}", partial(wanted.without, number=number), request, services)


@router.put("/{name}/labels/{label}", summary="Give a version a label", **MOVED)
async def label(
    name: Name,
    label: Label,
    version: Annotated[str, Query(description="A version that is loaded.")],
    request: Request,
    services: ServicesDep,
) -> schemas.VersionList:
    """With `stable` the version judges from now on, and the one that judged stays loaded as `previous`."""
    number = _number(version)
    change = partial(wanted.with_label, number=number, label=label)
    return await _change(name, f"{label} {number}", change, request, services)


@router.post("/{name}/rollback", summary="Have the version before judge again", **MOVED)
async def roll_back(name: Name, request: Request, services: ServicesDep) -> schemas.VersionList:
    """The version `previous` judges again, and the one that judges becomes `previous`: both change places."""
    return await _change(name, "roll back", wanted.rolled_back, request, services)


async def _change(
    name: str, what: str, change: Callable[[Versions], Versions], request: Request, services: Services
) -> schemas.VersionList:
    services.records.require()
    await services.versions.change(name, change)
    return _moved(name, what, request, services)


def _moved(name: str, what: str, request: Request, services: Services) -> schemas.VersionList:
    """What is loaded now, once the change is on record."""
    networks = services.networks.versions(name)
    models = {f"{each.name}/{each.version}": each.digest for each in networks if each.label == STABLE}
    services.records.happened(
        "change_versions", actor_of(request), telemetry.request_id.get(), models=models, details={"change": what}
    )
    return version_list(networks)


def _number(version: str) -> str:
    """A version as a number; raises UnknownVersion."""
    if not (version.isascii() and version.isdecimal() and len(version) <= MOST_DIGITS):
        raise UnknownVersion(
            found="a version that is no number",
            expected="a number, as the folder of the bundle has it",
            remedy="GET /v1/models/{name}/versions lists those that are loaded.",
        )
    return str(int(version))
