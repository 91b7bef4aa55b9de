"""What custom kinds take, as far as the manifests use it: no package holds their schemas without a client of a cluster.

Written from their reference (Prometheus operator, monitoring.coreos.com/v1; KServe, serving.kserve.io/v1beta1). A field
that is not here fails.
"""

from __future__ import annotations

from typing import Any, Final

TEXT: Final = {"type": "string", "minLength": 1}
COUNT: Final = {"type": "integer", "minimum": 0}
TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def taking(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """A JSON schema of an object with these members and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def resource(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = taking(("name",), name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)
    return taking(("apiVersion", "kind", "metadata", "spec"), apiVersion=TEXT, kind=TEXT, metadata=metadata, spec=spec)


SECRET_KEY: Final = taking(("key",), name=TEXT, key=TEXT, optional={"type": "boolean"})
ENDPOINT: Final = taking(
    (),
    port=TEXT,
    path={"type": "string", "pattern": "^/"},
    scheme={"enum": ["http", "https"]},
    interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
    authorization=taking((), type=TEXT, credentials=SECRET_KEY),
)
SERVICE_MONITOR: Final = resource(
    taking(
        ("selector", "endpoints"),
        selector=taking((), matchLabels=TEXTS),
        endpoints={"type": "array", "items": ENDPOINT, "minItems": 1},
    )
)
AMOUNTS: Final = {"type": "object", "additionalProperties": TEXT}
# What a predictor takes besides the members of a PodSpec, which are checked as those of a pod.
MODEL: Final = taking(
    ("modelFormat",),
    modelFormat=taking(("name",), name=TEXT, version=TEXT),
    storageUri={"type": "string", "pattern": "^(pvc|s3|gs|https)://"},
    resources=taking((), requests=AMOUNTS, limits=AMOUNTS),
)
SCALED: Final = {
    "minReplicas": COUNT,
    "maxReplicas": COUNT,
    "scaleTarget": COUNT,
    "scaleMetric": {"enum": ["concurrency", "rps", "cpu", "memory"]},
    "model": MODEL,
}
POD: Final = {
    "automountServiceAccountToken": {"type": "boolean"},
    "enableServiceLinks": {"type": "boolean"},
    "containers": {"type": "array", "minItems": 1},
    "volumes": {"type": "array"},
}
INFERENCE_SERVICE: Final = resource(taking(("predictor",), predictor=taking((), **SCALED, **POD)))
SCHEMAS: Final = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITOR,
    ("serving.kserve.io/v1beta1", "InferenceService"): INFERENCE_SERVICE,
}
