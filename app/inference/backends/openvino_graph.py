"""What OpenVINO runs as it was written, and slowly. Rewriting keeps every number, to the rounding of float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple  # OpenVINO does not declare its types (no py.typed)

import numpy as np
from numpy.typing import NDArray

ROWS_OUTWARDS: Final = (0, 3, 2, 4, 1)  # (N, C, 2, H, W) to (N, H, 2, W, C)
CHANNELS_FIRST: Final = (0, 3, 1, 2)  # (N, H, W, C) to (N, C, H, W)
NARROW: Final = 8  # channels that fill half of a vector of 16 floats, or less
PHASES: Final = tuple((row, column) for row in (0, 1) for column in (0, 1))  # of the four pixels of a doubled one
# Which of the small pixels before, at and after its own a phase's three taps of the doubled image fall on.
FOLDED: Final = (np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]]), np.array([[0, 0, 0], [1, 1, 0], [0, 0, 1]]))
TAIL: Final = ("Multiply", "Add", "Relu", "Convolution")  # batch normalisation, activation, and what reads it
DENSE: Final = {"strides": [1, 1], "dilations": [1, 1]}
SAME_3X3: Final = {**DENSE, "pads_begin": [1, 1], "pads_end": [1, 1]}
POINTWISE: Final = {**DENSE, "pads_begin": [0, 0], "pads_end": [0, 0]}

# Other rules for coordinates take other pixels at the edge.
DOUBLING: Final = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

Weights = NDArray[np.float32]


class _Step(NamedTuple):
    """A node of a chain: its kind, the shape it gives, and for a transposition the order of axes."""

    kind: str
    shape: tuple[int, ...]
    order: tuple[int, ...] | None = None


def join_doublings(model: Any) -> int:
    """Make one node of each chain that repeats every row and every column once; returns how many there were.

    Keras' UpSampling2D is eight nodes in a SavedModel: for rows and for columns unsqueeze, tile and reshape, with
    transpositions between. They move data for a tenth of an inference. `model` has a fixed shape.
    """
    from openvino import opset13

    joined = 0
    for node in model.get_ordered_ops():
        source = _doubled(node)
        if source is not None:
            twice, axes = np.array([2, 2], np.float32), np.array([2, 3])
            doubled = opset13.interpolate(source, twice, shape_calculation_mode="scales", axes=axes, **DOUBLING)
            node.output(0).replace(doubled.output(0))
            joined += 1
    model.validate_nodes_and_infer_types()
    return joined


def narrow_by_phases(model: Any) -> int:
    """Compute what is convolved to few channels after a doubling before it; returns how often that was found.

    A 3 x 3 convolution of a doubled image beside one of full size, to NARROW channels or fewer, leaves half of each
    vector empty at the largest size of the network. Its four phases are four times the channels at a quarter of the
    pixels (sub-pixel convolution: Shi et al., CVPR 2016), put in place after the pointwise convolution that follows.
    To be called after `join_doublings`.
    """
    from openvino import opset13

    found = 0
    for node in model.get_ordered_ops():
        tail = _narrow_tail(node)
        if tail is None:
            continue
        scale, bias, _, pointwise = tail
        both, weights = _input(node, 0), _data(node, 1)
        small, beside = _input(both, 0).input_value(0), both.input_value(1)
        channels = small.get_partial_shape()[1].get_length()
        phases = opset13.add(
            _convolution(small, _phases_of_doubled(weights[:, :channels]), pad=1, stride=1),
            _convolution(beside, _phases_of_beside(weights[:, channels:]), pad=1, stride=2),
        )
        normalised = opset13.add(opset13.multiply(phases, _repeated(scale)), _repeated(bias))
        apart = np.kron(np.eye(len(PHASES), dtype=np.float32), _data(pointwise, 1)[..., 0, 0])[..., None, None]
        read = _convolution(opset13.relu(normalised), apart, pad=0, stride=1)
        pointwise.output(0).replace(opset13.depth_to_space(read, "blocks_first", 2).output(0))
        found += 1
    model.validate_nodes_and_infer_types()
    return found


def _narrow_tail(node: Any) -> tuple[Any, ...] | None:
    """The nodes of TAIL after a convolution of [doubled image, image of full size] to few channels; None for others."""
    if node.get_type_name() != "Convolution" or not _has(node, SAME_3X3):
        return None
    both = _input(node, 0)
    if both.get_type_name() != "Concat" or both.get_input_size() != 2 or both.get_attributes()["axis"] != 1:
        return None
    weights = _constant(node, 1)
    if weights is None or weights.shape[0] > NARROW or weights.shape[2:] != (3, 3) or not _is_doubling(_input(both, 0)):
        return None
    tail = _followers(node, TAIL)
    if tail is None or any(_constant(tail[place], 1) is None for place in (0, 1, 3)):
        return None
    per_channel = all(_data(step, 1).shape == (1, len(weights), 1, 1) for step in tail[:2])
    return tail if per_channel and _data(tail[3], 1).shape[2:] == (1, 1) and _has(tail[3], POINTWISE) else None


def _has(node: Any, attributes: Mapping[str, str | list[int]]) -> bool:
    found = node.get_attributes()
    return all(type(value)(found[name]) == value for name, value in attributes.items())


def _is_doubling(node: Any) -> bool:
    """Whether a node is one that `join_doublings` makes."""
    if node.get_type_name() != "Interpolate" or not _has(node, DOUBLING):
        return False
    before, after = (port.get_partial_shape().to_shape() for port in (node.input_value(0), node.output(0)))
    return list(after) == [*before[:2], *(2 * side for side in before[2:])]


def _followers(node: Any, kinds: tuple[str, ...]) -> tuple[Any, ...] | None:
    """The nodes of these kinds that follow one another, each the only reader of the one before; None otherwise."""
    chain = []
    for kind in kinds:
        readers = list(node.output(0).get_target_inputs())
        if len(readers) != 1 or readers[0].get_node().get_type_name() != kind or readers[0].get_index() != 0:
            return None
        node = readers[0].get_node()
        chain.append(node)
    return tuple(chain)


def _input(node: Any, place: int) -> Any:
    return node.input_value(place).get_node()


def _constant(node: Any, place: int) -> Weights | None:
    source = _input(node, place)
    return source.get_data() if source.get_type_name() == "Constant" else None


def _data(node: Any, place: int) -> Weights:
    """An input that is known to be a constant."""
    return np.asarray(_input(node, place).get_data(), np.float32)


def _convolution(source: Any, weights: Weights, *, pad: int, stride: int) -> Any:
    from openvino import opset13

    return opset13.convolution(source, np.ascontiguousarray(weights), [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])


def _repeated(step: Any) -> Weights:
    """A constant (1, channels, 1, 1) of a node, once a phase."""
    return np.tile(_data(step, 1), (1, len(PHASES), 1, 1))


def _phases_of_doubled(weights: Weights) -> Weights:
    """(outputs, inputs, 3, 3) of a doubled image to (4 x outputs, inputs, 3, 3) of the small one."""
    folded = [np.einsum("pu,oiuv,qv->oipq", FOLDED[row], weights, FOLDED[column]) for row, column in PHASES]
    return np.concatenate(folded).astype(np.float32)


def _phases_of_beside(weights: Weights) -> Weights:
    """(outputs, inputs, 3, 3) to (4 x outputs, inputs, 4, 4) that reach over two by two pixels, for a stride of 2."""
    margins = [((0, 0), (0, 0), (row, 1 - row), (column, 1 - column)) for row, column in PHASES]
    return np.concatenate([np.pad(weights, margin) for margin in margins])


def _doubled(last: Any) -> Any | None:
    """The (N, C, H, W) output whose rows and columns are doubled when the chain that ends with `last` is done."""
    shape = last.output(0).get_partial_shape()
    if last.get_type_name() != "Transpose" or shape.rank.get_length() != len(CHANNELS_FIRST) or shape.is_dynamic:
        return None
    n, c, rows, columns = shape.to_shape()
    source, node = None, last
    for step in reversed(_steps(n, c, rows // 2, columns // 2)):
        if node.get_type_name() != step.kind or tuple(node.output(0).shape) != step.shape:
            return None
        if step.order is not None and tuple(node.input_value(1).get_node().get_data()) != step.order:
            return None
        source = node.input_value(0)
        node = source.get_node()
    return source


def _steps(n: int, c: int, h: int, w: int) -> tuple[_Step, ...]:
    """What TensorFlow's `repeat` of rows, then of columns, becomes."""
    return (
        _Step("Unsqueeze", (n, c, 1, h, w)),
        _Step("Tile", (n, c, 2, h, w)),
        _Step("Transpose", (n, h, 2, w, c), ROWS_OUTWARDS),
        _Step("Reshape", (n, 2 * h, w, c)),
        _Step("Unsqueeze", (n, 2 * h, w, 1, c)),
        _Step("Tile", (n, 2 * h, w, 2, c)),
        _Step("Reshape", (n, 2 * h, 2 * w, c)),
        _Step("Transpose", (n, c, 2 * h, 2 * w), CHANNELS_FIRST),
    )
