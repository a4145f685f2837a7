"""Multiply-accumulates of one exported operator at batch 1, from shapes alone. Only building imports this."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import fx


def node_macs(node: fx.Node) -> int:
    """Multiply-accumulates of `node` at batch 1; 0 for what does none worth counting."""
    name = str(node.target).split(".")
    op = name[1] if len(name) > 1 else ""
    if op in {"conv1d", "conv2d", "conv3d", "convolution", "conv_transpose2d", "conv_transpose3d"}:
        return _convolution(node, transposed="transpose" in op)
    if op in {"linear", "mm", "addmm"}:
        weight = _sizes(node.args[1] if op == "linear" else node.args[-1])
        return prod(_sizes(node)) * weight[-1 if op == "linear" else 0]
    if op in {"matmul", "bmm", "baddbmm"}:
        left = _sizes(node.args[0] if op != "baddbmm" else node.args[1])
        return prod(_sizes(node)) * left[-1]
    if op == "scaled_dot_product_attention":
        query, key = _sizes(node.args[0]), _sizes(node.args[1])
        return 2 * prod(query) * key[-2]
    if op == "lstm":
        return _lstm(node)
    return 0


def _convolution(node: fx.Node, *, transposed: bool) -> int:
    weight = _sizes(node.args[1])
    elements = prod(_sizes(node.args[0] if transposed else node))
    return elements * prod(weight[1:])


def _lstm(node: fx.Node) -> int:
    steps = _sizes(node.args[0])[1 if node.args[-1] is True else 0]
    weights: Any = node.args[2]
    return steps * sum(prod(_sizes(w)) for w in weights if len(_sizes(w)) == 2)


def _sizes(value: Any) -> list[int]:
    if not isinstance(value, fx.Node):
        return []
    tensor = value.meta["val"]
    tensor = tensor if isinstance(tensor, torch.Tensor) else tensor[0]
    return [_one(size) for size in tensor.shape]


def _one(size: int | torch.SymInt) -> int:
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))
