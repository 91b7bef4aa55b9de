"""The bodies of requests and answers in the dialects, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.dialects.open_inference import OCTETS
from app.api.negotiation import JSON


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ServerMetadata(_Schema):
    """What server this is."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(_Schema):
    """Whether the process does its work."""

    live: bool


class ServerReady(_Schema):
    """Whether the service may get traffic, and why not. The protocol's text calls it `live`, its schema `ready`."""

    live: bool
    ready: bool
    reason: str


class ModelReady(_Schema):
    """Whether a model can run."""

    name: str
    ready: bool


class TensorMetadata(_Schema):
    """An input or output; -1 is any number."""

    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]


class ModelMetadata(_Schema):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorOut(TensorMetadata):
    """An output of an inference: `data`, or `parameters.binary_data_size` bytes after the JSON."""

    parameters: dict[str, int] | None = None
    data: list[float | str | None] | None = None


class InferenceAnswer(_Schema):
    """The outputs of an inference."""

    model_name: str
    model_version: str
    id: str | None = Field(default=None, description="the request's, if it had one")
    parameters: dict[str, str]
    outputs: list[TensorOut]


class Predictions(_Schema):
    """What TensorFlow Serving answers to `instances`: for each the output, or an object of outputs by name."""

    predictions: list[Any]
    disclaimer: str


class Outputs(_Schema):
    """What it answers to `inputs`: the output, or an object of outputs by name."""

    outputs: list[Any] | dict[str, Any]
    disclaimer: str


class ModelSpec(_Schema):
    """Which model, and which version of it."""

    name: str
    signature_name: str
    version: str


class SignatureAnswer(_Schema):
    """What a model's signature takes and gives, as TensorFlow's `SignatureDef` in JSON."""

    model_spec: ModelSpec
    metadata: dict[str, Any]


_TENSORS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string", "enum": ["FP32", "BYTES"]},
            "parameters": {"type": "object"},
            "data": {"type": "array", "items": {}},
        },
    },
}
INFERENCE_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "The tensors: in JSON, or as bytes after the JSON, whose length is then in the header.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": {"type": "string"},
                    "parameters": {"type": "object"},
                    "inputs": _TENSORS,
                    "outputs": {"type": "array", "items": {"type": "object"}},
                },
            },
            "example": {
                "id": "42",
                "parameters": {"roi": "148,240"},
                "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["RElDTQ=="]}],
            },
        },
        OCTETS: {"schema": {"type": "string", "format": "binary"}},
    },
}
PREDICT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "`instances` (one input after another) or `inputs` (the whole tensor), and not both.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "properties": {
                    "signature_name": {"type": "string", "enum": ["serving_default"]},
                    "instances": {"type": "array", "items": {}},
                    "inputs": {},
                },
            },
            "example": {"instances": [[[[-850.0]]]]},
        }
    },
}
