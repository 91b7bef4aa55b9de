"""Refuses a SavedModel that could do anything but compute, before a runtime has seen it.

A TensorFlow graph may read and write files, call Python and open connections. What may occur in one is listed here,
and what it holds is read from `saved_model.pb` as protocol buffers lay it out. TensorFlow is not asked. The numbers of
fields are those of tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto and of
tensorflow/core/framework/{graph,function,node_def,attr_value,op_def}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.errors import BundleError

GRAPH_FILE: Final = "saved_model.pb"
OTHER_GRAPHS: Final = ("saved_model.pbtxt", "saved_model.cpb")  # that TensorFlow would read instead
# What exports of this project hold, and those that Keras makes of the layers of convolutional, recurrent and attention
# networks: numbers and shapes in, numbers and shapes out.
COMPUTING: Final = frozenset(
    (
        *("Abs", "Add", "AddN", "AddV2", "All", "Any", "ArgMax", "ArgMin", "AvgPool", "AvgPool3D", "BatchMatMulV2"),
        *("BatchMatMulV3", "BatchToSpaceND", "BiasAdd", "BroadcastArgs", "BroadcastTo", "Cast", "Ceil", "ClipByValue"),
        *("ConcatV2", "Const", "Conv2D", "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "Cos", "Cumsum"),
        *("DepthToSpace", "DepthwiseConv2dNative", "DivNoNan", "Einsum", "Elu", "Equal", "Erf", "Exp", "ExpandDims"),
        *("Expm1", "Fill", "Floor", "FloorDiv", "FloorMod", "FusedBatchNormV3", "GatherNd", "GatherV2", "Greater"),
        *("GreaterEqual", "Identity", "IdentityN", "IsFinite", "IsInf", "IsNan", "LeakyRelu", "Less", "LessEqual"),
        *("Log", "Log1p", "LogSoftmax", "LogicalAnd", "LogicalNot", "LogicalOr", "MatMul", "Max", "MaxPool"),
        *("MaxPool3D", "Maximum", "Mean", "Min", "Minimum", "MirrorPad", "Mul", "MulNoNan", "Neg", "NotEqual"),
        *("OneHot", "OnesLike", "Pack", "Pad", "PadV2", "Pow", "Prod", "Range", "Rank", "RealDiv", "Reciprocal"),
        *("Relu", "Relu6", "Reshape", "ResizeBilinear", "ResizeNearestNeighbor", "ReverseV2", "Round", "Rsqrt"),
        *("Select", "SelectV2", "Selu", "Shape", "ShapeN", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax"),
        *("Softplus", "Softsign", "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Sqrt", "Square"),
        *("SquaredDifference", "Squeeze", "StopGradient", "StridedSlice", "Sub", "Sum", "Tan", "Tanh"),
        *("TensorListFromTensor", "TensorListGetItem", "TensorListReserve", "TensorListSetItem", "TensorListStack"),
        *("Tile", "TopKV2", "Transpose", "Unpack", "Where", "ZerosLike"),
    )
)
CALLING: Final = frozenset(
    (
        *("If", "NoOp", "PartitionedCall", "Placeholder", "PlaceholderWithDefault", "StatefulPartitionedCall"),
        *("StatelessIf", "StatelessWhile", "While", "AssignVariableOp", "DisableCopyOnRead", "ReadVariableOp"),
        *("ResourceGather", "VarHandleOp", "VarIsInitializedOp"),
    )
)
# Every SavedModel holds two functions that write and read its variables. They are the only ones that may, and nothing
# that is run or can be called may reach them: TensorFlow reads the variables itself.
SAVING: Final = frozenset(
    ("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin")
)
MAX_VARINT_BYTES: Final = 10


@dataclass(slots=True)
class _Node:
    """A node: what it does, from whose outputs, and which functions it may call."""

    operations: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Graph:
    """The nodes of the graph itself by name, those of each function, and what is run or can be called."""

    nodes: dict[str, _Node] = field(default_factory=dict)
    functions: dict[str, list[_Node]] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    callable_functions: set[str] = field(default_factory=set)


def require_computing(path: Path) -> None:
    """Raise BundleError unless the SavedModel in `path` only computes."""
    for name in OTHER_GRAPHS:
        if (path / name).exists():
            raise _refused(path / name, "a second graph")
    try:
        graphs = _graphs(memoryview((path / GRAPH_FILE).read_bytes()))
    except OSError as error:
        raise _refused(path / GRAPH_FILE, f"a file that cannot be read ({error.strerror})") from None
    except (IndexError, ValueError):
        raise _refused(path / GRAPH_FILE, "bytes that are no graph") from None
    for graph in graphs:
        _require(path / GRAPH_FILE, graph)


def _require(file: Path, graph: _Graph) -> None:
    every = [*graph.nodes.values(), *(node for nodes in graph.functions.values() for node in nodes)]
    unknown = {name for node in every for name in node.operations} - COMPUTING - CALLING - SAVING
    if unknown:
        raise _refused(file, f"operations that are not let run: {', '.join(sorted(map(_printable, unknown))[:5])}")
    reached = sorted({name for node in _reached(graph) for name in node.operations & SAVING})
    if reached:
        raise _refused(file, f"operations on files where the network computes: {', '.join(reached)}")


def _reached(graph: _Graph) -> list[_Node]:
    """The nodes that a signature needs, and those of all functions that these or the object graph may call."""
    found, names, functions = list[_Node](), list(graph.outputs), list(graph.callable_functions)
    seen, called = set(names), set(functions)
    while names or functions:
        if names:
            nodes = [graph.nodes[name]] if (name := names.pop()) in graph.nodes else []
        else:
            nodes = graph.functions.get(functions.pop(), [])
        for node in nodes:
            found.append(node)
            # Names in a function are its own; all of its nodes are here already.
            new = (node.inputs & graph.nodes.keys()) - seen
            names += new
            seen |= new
            functions += node.calls - called
            called |= node.calls
    return found


def _graphs(model: memoryview) -> list[_Graph]:
    return [_meta_graph(meta) for meta in _messages(model, 2)]


def _meta_graph(meta: memoryview) -> _Graph:
    graph = _Graph()
    for definition in _messages(meta, 2):
        for node in _messages(definition, 1):
            for name in _texts(node, 1):
                _add(graph.nodes.setdefault(name, _Node()), node)
        for library in _messages(definition, 2):
            for function in _messages(library, 1):
                nodes = [_added(node) for node in _messages(function, 3)]
                for signature in _messages(function, 1):
                    for name in _texts(signature, 1):
                        graph.functions.setdefault(name, []).extend(nodes)
    for entry in _messages(meta, 5):
        for signature in _messages(entry, 2):
            for tensor in (*_messages(signature, 1), *_messages(signature, 2)):
                for info in _messages(tensor, 2):
                    graph.outputs |= {_node_of(name) for name in _texts(info, 1)}
    for objects in _messages(meta, 7):
        graph.callable_functions |= {name for entry in _messages(objects, 2) for name in _texts(entry, 1)}
    return graph


def _added(node: memoryview) -> _Node:
    made = _Node()
    _add(made, node)
    return made


def _add(to: _Node, node: memoryview) -> None:
    to.operations.update(_texts(node, 2))
    to.inputs.update(map(_node_of, _texts(node, 3)))
    for attribute in _messages(node, 5):
        for value in _messages(attribute, 2):
            called = [
                *_messages(value, 10),
                *(each for several in _messages(value, 1) for each in _messages(several, 9)),
            ]
            to.calls.update(name for each in called for name in _texts(each, 1))


def _node_of(tensor: str) -> str:
    """The node that an input or a signature's tensor names: `^node`, `node` or `node:0`."""
    return tensor.removeprefix("^").partition(":")[0]


def _texts(message: memoryview, number: int) -> list[str]:
    return [bytes(value).decode() for value in _messages(message, number)]


def _messages(message: memoryview, number: int) -> list[memoryview]:
    """The values of one field that are messages or texts, in their order; raises ValueError or IndexError."""
    return [value for found, value in _fields(message) if found == number]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                _, at = _varint(message, at)
                continue
            case 1:
                at += 8
                continue
            case 5:
                at += 4
                continue
            case 2:
                size, at = _varint(message, at)
            case _:
                raise ValueError("wire type")
        if at + size > len(message):
            raise ValueError("length")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(MAX_VARINT_BYTES):
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("varint")


def _printable(name: str) -> str:
    return name[:40] if name.isprintable() else "?"


def _refused(file: Path, found: str) -> BundleError:
    return BundleError(
        found=f"{file}: {found}",
        expected="a graph of operations that compute and nothing else (docs/own-model.md)",
        remedy="Export it again from layers that do, or have the operation added to the list after a review.",
    )
