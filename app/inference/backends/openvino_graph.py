"""What OpenVINO runs as it was written, and slowly. Rewriting keeps every number as it is."""

from __future__ import annotations

from typing import Any, Final, NamedTuple  # OpenVINO does not declare its types (no py.typed)

import numpy as np

ROWS_OUTWARDS: Final = (0, 3, 2, 4, 1)  # (N, C, 2, H, W) to (N, H, 2, W, C)
CHANNELS_FIRST: Final = (0, 3, 1, 2)  # (N, H, W, C) to (N, C, H, W)


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
            doubled = opset13.interpolate(
                source,
                np.array([2, 2], np.float32),
                "nearest",
                "scales",
                axes=np.array([2, 3]),
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
            node.output(0).replace(doubled.output(0))
            joined += 1
    model.validate_nodes_and_infer_types()
    return joined


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
