"""Tensors of requests and answers: numbers in JSON, or bytes (little-endian, in row-major order, without gaps)."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidTensor

FP32: Final = "FP32"
BYTES: Final = "BYTES"
LITTLE: Final = np.dtype("<f4")
LENGTH: Final = struct.Struct("<I")  # before each element of BYTES


def numbers_of(values: object) -> NDArray[np.float32]:
    """Numbers in lists of lists as float32; what is larger than that becomes infinite. Raises InvalidTensor."""
    try:
        # With its type said: found out, one long text among many short ones would take gigabytes.
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float32)
    except (ValueError, TypeError, OverflowError):
        raise _invalid("lists of unequal length, or what is no number", "numbers, row by row") from None


def shaped(values: object, shape: Sequence[int]) -> NDArray[np.float32]:
    """Numbers in a flat list, or in lists of lists of this shape, in this shape; raises InvalidTensor."""
    array = numbers_of(values)
    if array.shape not in ((math.prod(shape),), tuple(shape)):
        raise _invalid("data of another shape than the one stated", "as many values as shape says, flat or nested")
    return array.reshape(shape)


def numbers_in(data: memoryview, shape: Sequence[int]) -> NDArray[np.float32]:
    """The bytes of FP32 values in this shape; raises InvalidTensor."""
    if len(data) != math.prod(shape) * LITTLE.itemsize:
        raise _invalid(f"{len(data)} bytes of data", "4 bytes for each value of the shape")
    return np.frombuffer(data, LITTLE).reshape(shape)


def bytes_of(numbers: NDArray[np.float32]) -> bytes:
    """FP32 values as bytes."""
    return numbers.astype(LITTLE, copy=False).tobytes()


def element_in(data: memoryview) -> memoryview:
    """The one element of a BYTES tensor; raises InvalidTensor."""
    if len(data) < LENGTH.size or LENGTH.unpack_from(data)[0] != len(data) - LENGTH.size:
        raise _invalid("bytes that are not one element", "4 bytes with the length, little-endian, and as many bytes")
    return data[LENGTH.size :]


def element_of(values: object) -> bytes:
    """The one element of a BYTES tensor in JSON, which is base64; raises InvalidTensor."""
    while isinstance(values, list) and len(values) == 1:
        values = values[0]
    if isinstance(values, str):
        try:
            return base64.b64decode(values, validate=True)
        except (ValueError, binascii.Error):
            pass
    raise _invalid("data that are not one element in base64", "a list with one text, the file in base64")


def with_length(element: bytes) -> bytes:
    """A BYTES tensor of one element."""
    return LENGTH.pack(len(element)) + element


def _invalid(found: str, expected: str) -> InvalidTensor:
    return InvalidTensor(found=found, expected=expected, remedy="The metadata of the model say what it takes.")
