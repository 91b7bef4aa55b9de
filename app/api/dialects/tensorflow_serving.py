"""Requests and answers of TensorFlow Serving's REST API: predict, metadata and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from fastapi import Response
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from app.api.dialects.schemas import ModelSpec, SignatureAnswer
from app.api.dialects.tensors import numbers_of
from app.api.negotiation import JSON
from app.errors import InvalidTensor, MalformedJson
from app.inference.backends import Outputs
from app.inference.networks import Network, Shape
from app.judgement.answer_types import DISCLAIMER

SIGNATURE: Final = "serving_default"
METHOD: Final = "tensorflow/serving/predict"
ROWS: Final = "instances"
COLUMNS: Final = "inputs"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The batch of a request, float32 (N, *input_shape), and whether it came row by row."""

    batch: NDArray[np.float32]
    by_rows: bool


def read(body: bytes | memoryview, network: Network, most: int) -> Asked:
    """The request in a body; raises MalformedJson, InvalidTensor and BatchTooLarge."""
    try:
        request = from_json(bytes(body))
    except ValueError:
        raise _malformed("a body that is no JSON") from None
    if not isinstance(request, dict) or (ROWS in request) == (COLUMNS in request):
        raise _malformed(f"JSON without {ROWS} and {COLUMNS}, or with both")
    if request.get("signature_name") not in (None, "", SIGNATURE):
        raise InvalidTensor(
            found="another signature",
            expected=SIGNATURE,
            remedy="Leave signature_name out: bundles have one signature.",
        )
    by_rows = ROWS in request
    batch = numbers_of(_rows(request[ROWS], network) if by_rows else _named(request[COLUMNS], network))
    network.require_batch(batch.shape, most)
    return Asked(batch, by_rows)


def _rows(instances: object, network: Network) -> object:
    """The inputs one after another; each may be an object with its name."""
    return [_named(each, network) for each in instances] if isinstance(instances, list) else instances


def _named(value: object, network: Network) -> object:
    """What an object has under the name of the input, if it is an object."""
    if not isinstance(value, dict):
        return value
    if value.keys() != {network.input_name}:
        raise InvalidTensor(
            found="an object with other inputs",
            expected=network.input_name,
            remedy="The metadata of the model say what it takes.",
        )
    return value[network.input_name]


def written(asked: Asked, outputs: Outputs) -> Response:
    """The answer in the format in which was asked; the name of a single output is left out."""
    values = {name: array.tolist() for name, array in outputs.items()}
    single = next(iter(values.values())) if len(values) == 1 else None
    if not asked.by_rows:
        answer: dict[str, Any] = {"outputs": values if single is None else single}
    elif single is None:
        answer = {"predictions": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}
    else:
        answer = {"predictions": single}
    # As JSON has no word for them, TensorFlow Serving writes NaN and Infinity.
    return Response(to_json({**answer, "disclaimer": DISCLAIMER}, inf_nan_mode="constants"), media_type=JSON)


def signature_of(network: Network) -> SignatureAnswer:
    """The signature of a network's SavedModel."""
    signature = {
        "inputs": _described({network.input_name: network.input_shape}),
        "outputs": _described(network.outputs),
        "method_name": METHOD,
    }
    spec = ModelSpec(name=network.name, signature_name="", version=network.version)
    return SignatureAnswer(model_spec=spec, metadata={"signature_def": {"signature_def": {SIGNATURE: signature}}})


def _described(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    return {
        name: {
            "dtype": "DT_FLOAT",
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in (-1, *shape)],
                "unknown_rank": False,
            },
            "name": name,
        }
        for name, shape in shapes.items()
    }


def _malformed(found: str) -> MalformedJson:
    return MalformedJson(found=found, expected=f'{{"{ROWS}": […]}} or {{"{COLUMNS}": …}}', remedy="Correct the body.")
