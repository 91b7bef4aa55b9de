"""What a caller may do: one table from every operation to the scope that it needs."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Scope: TypeAlias = Literal[
    "predict",
    "studies",
    "reports",
    "dicomweb:read",
    "dicomweb:write",
    "jobs",
    "feedback",
    "metrics",
    "admin",
]
# What an operation asks for: a scope, any caller that is known, or nothing at all.
Access: TypeAlias = Scope | Literal["known", "open"]

SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
ADMIN: Final = "admin"  # implies all others
RESULTS: Final = (
    *("/studies", "/series", "/instances", "/studies/{study}", "/studies/{study}/metadata", "/studies/{study}/series"),
    "/studies/{study}/status",
    *("/studies/{study}/instances", "/studies/{study}/series/{series}", "/studies/{study}/series/{series}/metadata"),
    *("/studies/{study}/series/{series}/instances", "/studies/{study}/series/{series}/instances/{instance}"),
    *("/studies/{study}/series/{series}/instances/{instance}/" + part for part in ("metadata", "rendered")),
    *("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}" + part for part in ("", "/rendered")),
)
WORKLIST: Final = {
    "/workitems": ("GET", "POST"),
    "/workitems/{workitem}": ("GET", "POST"),
    "/workitems/{workitem}/state": ("PUT",),
    "/workitems/{workitem}/cancelrequest": ("POST",),
    "/workitems/{workitem}/subscribers/{aetitle}": ("POST", "DELETE"),
    "/workitems/{workitem}/subscribers/{aetitle}/suspend": ("POST",),
    "/subscribers/{aetitle}": ("GET",),
}
PAGES: Final = (
    *("/", "/docs", "/docs/", "/redoc", "/redoc/", "/redoc/logo-mini.svg", "/favicon.ico", "/openapi.json"),
    *("/docs/assets", "/docs/example-slice.dcm", "/docs/example-series.zip", "/viewer"),
)
# What other model servers call a model, or one version of it.
SERVED: Final = tuple(f"/v1/models/{{name}}{which}" for which in ("", "/versions/{version}", "/labels/{label}"))
NAMED: Final = tuple(f"/v2/models/{{name}}{which}" for which in ("", "/versions/{version}"))
# By method and path template. HEAD is asked as GET. A test compares this table with the routes.
OPERATIONS: Final[dict[tuple[str, str], Access]] = {
    ("POST", "/v1/predict"): "predict",
    ("POST", "/v1/studies"): "studies",
    ("POST", "/v1/comparisons"): "studies",
    ("GET", "/v1/jobs/{job}"): "jobs",
    ("DELETE", "/v1/jobs/{job}"): "jobs",
    ("POST", "/v1/pull"): "jobs",
    # Who may have an image judged may see it.
    ("POST", "/v1/predict/pixels"): "predict",
    ("POST", "/v1/studies/pixels"): "studies",
    ("POST", "/v1/reports"): "reports",
    ("POST", "/v1/feedback"): "feedback",
    ("GET", "/v1/models"): "known",
    ("GET", "/v1/models/{name}/performance"): "known",
    ("GET", "/v1/models/{name}/card"): "known",
    ("GET", "/v1/models/{name}/versions"): "known",
    ("GET", "/v1/models/{name}/shadow"): "known",
    ("POST", "/v1/models/{name}/versions/{version}/load"): "admin",
    ("POST", "/v1/models/{name}/versions/{version}/unload"): "admin",
    ("PUT", "/v1/models/{name}/labels/{label}"): "admin",
    ("POST", "/v1/models/{name}/rollback"): "admin",
    **{("GET", f"{model}{what}"): "known" for model in SERVED for what in ("", "/metadata")},
    **{("POST", f"{model}:predict"): "predict" for model in SERVED},
    ("GET", "/v2"): "known",
    **{("GET", f"{model}{what}"): "known" for model in NAMED for what in ("", "/ready")},
    **{("POST", f"{model}/infer"): "predict" for model in NAMED},
    ("POST", "/dicom-web/studies"): "dicomweb:write",
    ("POST", "/dicom-web/studies/{study}"): "dicomweb:write",
    **{("GET", f"/dicom-web{path}"): "dicomweb:read" for path in RESULTS},
    # Who schedules a workitem has series fetched and judged, as by /v1/pull.
    **{(method, f"/dicom-web{path}"): "jobs" for path, methods in WORKLIST.items() for method in methods},
    ("GET", "/metrics"): "metrics",
    # Asked by machines that hold no secret, and answered without a word about what was sent.
    ("GET", "/health"): "open",
    ("GET", "/health/live"): "open",
    ("GET", "/health/ready"): "open",
    ("GET", "/v2/health/live"): "open",
    ("GET", "/v2/health/ready"): "open",
    # The contract and its pages: public text.
    **{("GET", path): "open" for path in PAGES},
}


def access_to(method: str, path: str) -> Access:
    """What the operation at a path template asks for; `admin` where the table has forgotten it."""
    return OPERATIONS.get((method, path), ADMIN)
