"""Requests and answers of Open Inference Protocol's inference (KServe v2), with its extension for binary tensors.

A body is a JSON object, and after it the bytes of the tensors that it announces as binary; the header
`Inference-Header-Content-Length` then says how long the object is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from app.api.dialects.tensors import (
    BYTES,
    FP32,
    LENGTH,
    bytes_of,
    element_in,
    element_of,
    numbers_in,
    shaped,
    with_length,
)
from app.api.negotiation import JSON
from app.api.uploads.body import BodyLimit, check_size
from app.errors import InvalidParameter, InvalidTensor, MalformedJson
from app.inference.networks import Network
from app.judgement.answer_types import DISCLAIMER

JSON_LENGTH: Final = "Inference-Header-Content-Length"
BINARY: Final = "binary_data"
ALL_BINARY: Final = "binary_data_output"
BINARY_SIZE: Final = "binary_data_size"
OCTETS: Final = "application/octet-stream"
MAX_DIMENSION: Final = 2**63 - 1
Parameters = Mapping[str, str | int | float | bool]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    parameters: Parameters | None = None


class TensorIn(_Part):
    """An input: its values in `data`, or in the bytes after the JSON (`binary_data_size`)."""

    name: str
    shape: list[Annotated[int, Field(ge=0, le=MAX_DIMENSION)]]
    datatype: str
    data: Any = None


class OutputIn(_Part):
    """An output that is wanted."""

    name: str


class InferenceRequest(_Part):
    """What is to be inferred; without `outputs` all are wanted."""

    id: str | None = None
    inputs: list[TensorIn]
    outputs: list[OutputIn] | None = None


FIELDS: Final = frozenset({*TensorIn.model_fields, *InferenceRequest.model_fields})


@dataclass(frozen=True, slots=True)
class Sent:
    """A request with the bytes that follow its JSON, which are those of its one tensor if that is binary."""

    request: InferenceRequest
    rest: memoryview

    def tensor(self, name: str, datatype: str) -> TensorIn:
        """The one input, which must have this name and type; raises InvalidTensor."""
        inputs = self.request.inputs
        if len(inputs) != 1 or (inputs[0].name, inputs[0].datatype) != (name, datatype):
            raise InvalidTensor(
                found=f"{len(inputs)} inputs" if len(inputs) != 1 else "an input of another name or datatype",
                expected=f"one, {name} of datatype {datatype}",
                remedy="The metadata of the model say what it takes.",
            )
        return inputs[0]

    def binary(self, tensor: TensorIn) -> memoryview | None:
        """The bytes of the tensor, None where its values are in JSON; raises InvalidTensor unless all is said once."""
        size = (tensor.parameters or {}).get(BINARY_SIZE)
        announced = 0 if size is None else size
        if isinstance(announced, bool) or announced != len(self.rest) or (size is None) == (tensor.data is None):
            raise InvalidTensor(
                found=f"{len(self.rest)} bytes after the JSON, and data or {BINARY_SIZE} that do not fit them",
                expected=f"either data, or {BINARY_SIZE} with the number of these bytes",
                remedy=f"{JSON_LENGTH} is the length of the JSON alone.",
            )
        return None if size is None else self.rest


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output: float32 numbers, or one text in UTF-8."""

    name: str
    value: NDArray[np.float32] | bytes

    def described(self, *, as_bytes: bool) -> dict[str, Any]:
        """What the JSON of an answer says of it, with its values unless they follow as bytes."""
        value = self.value
        said: dict[str, Any] = {"name": self.name, "datatype": BYTES if isinstance(value, bytes) else FP32}
        said["shape"] = (1,) if isinstance(value, bytes) else value.shape
        if as_bytes:
            size = LENGTH.size + len(value) if isinstance(value, bytes) else value.nbytes
            return said | {"parameters": {BINARY_SIZE: size}}
        return said | {"data": (value.decode(),) if isinstance(value, bytes) else value.ravel().tolist()}

    @property
    def content(self) -> bytes:
        """Its bytes after the JSON."""
        return with_length(self.value) if isinstance(self.value, bytes) else bytes_of(self.value)


def json_length(request: Request) -> int | None:
    """How many bytes of the body are JSON; None where all are. Raises InvalidParameter."""
    stated = request.headers.get(JSON_LENGTH)
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdecimal() and len(stated) < 20):
        raise InvalidParameter(
            found=f"{JSON_LENGTH} that is no number", expected="bytes of the JSON in the body", remedy="Correct it."
        )
    return int(stated)


def read(body: bytes | memoryview, length: int | None, limit: BodyLimit) -> Sent:
    """The request in a body whose first `length` bytes are JSON. Raises InputTooLarge for more JSON than `limit`
    allows, MalformedJson and InvalidTensor."""
    view = memoryview(body)
    end = len(view) if length is None else length
    if end > len(view):
        raise InvalidTensor(
            found=f"a body of {len(view)} bytes",
            expected=f"at least the {end} of {JSON_LENGTH}",
            remedy="Send the JSON, and the bytes of the tensors after it.",
        )
    check_size(end, limit)
    try:
        request = InferenceRequest.model_validate_json(bytes(view[:end]))
    except ValidationError as error:
        raise MalformedJson(
            found=f"a body that is no inference request ({_place(error)})",
            expected='{"inputs": [{"name": …, "shape": […], "datatype": …, "data": […]}]}',
            remedy="Correct the body.",
        ) from None
    return Sent(request, view[end:])


def _place(error: ValidationError) -> str:
    """Where and what, without a word that was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    known = [str(part) for part in first["loc"] if isinstance(part, int) or part in FIELDS]
    return ".".join([*known, first["type"]])


def batch_of(sent: Sent, network: Network, most: int) -> NDArray[np.float32]:
    """The float32 (N, *input_shape) that a request holds for a network; raises InvalidTensor and BatchTooLarge."""
    tensor = sent.tensor(network.input_name, FP32)
    network.require_batch(tensor.shape, most)
    binary = sent.binary(tensor)
    return shaped(tensor.data, tensor.shape) if binary is None else numbers_in(binary, tensor.shape)


def file_of(sent: Sent, name: str) -> bytes | memoryview:
    """The one file in a request's BYTES tensor of shape [1]; raises InvalidTensor."""
    tensor = sent.tensor(name, BYTES)
    if tensor.shape != [1]:
        raise InvalidTensor(
            found="another shape than [1]", expected="one file in a request", remedy="Send a request for each file."
        )
    binary = sent.binary(tensor)
    return element_of(tensor.data) if binary is None else element_in(binary)


def texts_of(sent: Sent) -> dict[str, str]:
    """The parameters of a request and of its inputs as texts, without those of the protocol itself."""
    parts = (sent.request, *sent.request.inputs)
    given = {name: value for part in parts for name, value in (part.parameters or {}).items()}
    return {name: _text(value) for name, value in given.items() if name not in (ALL_BINARY, BINARY_SIZE)}


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def wanted(sent: Sent, names: Sequence[str]) -> dict[str, bool]:
    """Which of the outputs `names` are wanted, in their order, and whether as bytes.

    Raises InvalidTensor for outputs that there are not, InvalidParameter for what cannot be done with one.
    """
    asked = sent.request.outputs or [OutputIn(name=name) for name in names]
    if not {each.name for each in asked} <= set(names):
        raise InvalidTensor(
            found="an output that the model does not have",
            expected=" or ".join(names),
            remedy="Leave outputs out to get all.",
        )
    if any((each.parameters or {}).keys() - {BINARY} for each in asked):
        raise InvalidParameter(
            found="a parameter of an output that is not known",
            expected=BINARY,
            remedy="Classes and shared memory are extensions that this service has not.",
        )
    by_default = (sent.request.parameters or {}).get(ALL_BINARY, False)
    return {each.name: bool((each.parameters or {}).get(BINARY, by_default)) for each in asked}


def written(name: str, version: str, sent: Sent, tensors: Sequence[Tensor], binary: Mapping[str, bool]) -> Response:
    """The answer with some outputs, each as numbers or as bytes."""
    by_name = {tensor.name: tensor for tensor in tensors}
    chosen = [(by_name[each], as_bytes) for each, as_bytes in binary.items()]
    answer: dict[str, Any] = {"model_name": name, "model_version": version}
    if sent.request.id is not None:
        answer["id"] = sent.request.id
    answer["parameters"] = {"disclaimer": DISCLAIMER}
    answer["outputs"] = [tensor.described(as_bytes=as_bytes) for tensor, as_bytes in chosen]
    head = to_json(answer, inf_nan_mode="null")
    if not any(binary.values()):
        return Response(head, media_type=JSON)
    parts = (tensor.content for tensor, as_bytes in chosen if as_bytes)
    return Response(b"".join((head, *parts)), media_type=OCTETS, headers={JSON_LENGTH: str(len(head))})
