"""3D operators in a form that LiteRT's converter (litert-torch 0.10) survives; both forms compute the same.

It crashes on a strided 3D convolution that pads by itself, and what it makes of a 3D pooling cannot be quantised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray

from suture_models.program import Program, ProgramNode, subgraph

_CONV, _POOL = "aten.conv3d.default", "aten.max_pool3d.default"


def with_plain_volumes(program: Program, example: NDArray[Any]) -> Program:
    """The program with the padding of strided 3D convolutions apart and 3D max-poolings as two in the plane.

    Args:
        program: The float program.
        example: An input of it, from which the sizes of what is pooled are taken.
    """
    pooled = tuple(dict.fromkeys(_source(node) for node in program.nodes if node.target == _POOL))
    shapes = {}
    if pooled:
        with torch.inference_mode():
            values = subgraph(program, (program.input,), pooled)(torch.from_numpy(example))
        shapes = {name: tuple(value.shape) for name, value in zip(pooled, values, strict=True)}
    nodes: list[ProgramNode] = []
    for node in program.nodes:
        if node.target == _CONV and _pads_and_strides(node):
            nodes += _padding_apart(node)
        elif node.target == _POOL and len(node.args) <= _POOL_ARGUMENTS:
            nodes += _pooled_twice(node, shapes[_source(node)])
        else:
            nodes.append(node)
    return dataclasses.replace(program, nodes=tuple(nodes))


#: Input, kernel, stride, padding; a pooling with dilation or a rounded-up size stays as it is.
_POOL_ARGUMENTS = 4


def _source(node: ProgramNode) -> str:
    return str(node.args[0]["n"])


def _pads_and_strides(node: ProgramNode) -> bool:
    padding = node.args[4] if len(node.args) > 4 else None
    return isinstance(padding, list) and any(padding) and max(node.args[3]) > 1


def _padding_apart(node: ProgramNode) -> Iterator[ProgramNode]:
    source, weight, bias, stride, padding, *rest = node.args
    widths = [width for axis in reversed(padding) for width in (axis, axis)]
    padded = _call(f"{node.name}_padded", "aten.constant_pad_nd.default", source, widths)
    yield padded
    yield dataclasses.replace(node, args=(_of(padded), weight, bias, stride, [0] * len(padding), *rest))


def _pooled_twice(node: ProgramNode, shape: tuple[int, ...]) -> Iterator[ProgramNode]:
    """Over height and width with channels and depth as one axis, then over depth with height and width as one."""
    kernel, stride, padding = _window(node)
    _, channels, depth, *plane = shape
    pooled = [(plane[i] + 2 * padding[1 + i] - kernel[1 + i]) // stride[1 + i] + 1 for i in range(2)]
    merged = _call(f"{node.name}_slices", "aten.flatten.using_ints", node.args[0], 1, 2)
    first = _call(f"{node.name}_plane", "aten.max_pool2d.default", _of(merged), kernel[1:], stride[1:], padding[1:])
    parted = _call(f"{node.name}_parted", "aten.unflatten.int", _of(first), 1, [channels, depth])
    lines = _call(f"{node.name}_lines", "aten.flatten.using_ints", _of(parted), 3, 4)
    along = ([kernel[0], 1], [stride[0], 1], [padding[0], 0])
    second = _call(f"{node.name}_depth", "aten.max_pool2d.default", _of(lines), *along)
    yield from (merged, first, parted, lines, second)
    yield _call(node.name, "aten.unflatten.int", _of(second), 3, pooled)


def _window(node: ProgramNode) -> tuple[list[int], list[int], list[int]]:
    """Kernel, stride and padding; left out, the stride is the kernel and there is no padding."""
    kernel = node.args[1]
    stride = node.args[2] if len(node.args) > 2 else kernel
    return kernel, stride, node.args[3] if len(node.args) > 3 else [0, 0, 0]


def _call(name: str, target: str, *args: Any) -> ProgramNode:
    return ProgramNode(name=name, target=target, args=args, kwargs={})


def _of(node: ProgramNode) -> dict[str, str]:
    return {"n": node.name}
