"""From a module to a program and its graph: torch.export with a dynamic batch, decomposed with the empty table.

The empty table makes the graph functional (in-place operators would break live sets) and keeps LSTMs whole.
Only building imports this.
"""

from __future__ import annotations

import math
import operator
import warnings
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from torch import fx
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from suture_models.macs import node_macs
from suture_models.manifest import GraphNode, TensorSpec
from suture_models.program import Program, ProgramNode
from suture_protocol.errors import BundleError

MAX_BATCH = 64
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_DTYPES = {torch.float32: "float32", torch.uint8: "uint8", torch.int64: "int64", torch.bool: "bool"}
#: Nodes that check or constrain and compute nothing.
_CHECKS = ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """One export: the program, its data-dependent nodes as the manifest holds them, and what may cross a cut.

    `static` is the same network exported at batch 1, with the same node names, for the engines' interchange file.
    """

    program: Program
    graph: tuple[GraphNode, ...]
    outputs: tuple[TensorSpec, ...]
    crossable: frozenset[str]
    static: ExportedProgram


def export_network(module: torch.nn.Module, input_spec: TensorSpec) -> Exported:
    """Exports `module`, which takes one tensor of `input_spec` (batch leading) and returns one or several.

    Raises:
        BundleError: torch cannot export it, or it is not a function of one input with results of known shapes.
    """
    given = [p for p in signature(module.forward).parameters.values() if p.kind in _POSITIONAL]
    required = [p.name for p in given if p.default is p.empty]
    if len(required) > 1:
        raise BundleError(f"the network takes {', '.join(required)}; Suture cuts networks of one input")
    dtype = getattr(torch, input_spec.dtype)
    example = torch.zeros((2, *input_spec.shape[1:]), dtype=dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = {0: Dim("N", min=1, max=MAX_BATCH)}
            dynamic = torch.export.export(module, (example,), dynamic_shapes=(batch,), strict=False)
            dynamic = dynamic.run_decompositions({})
            static = torch.export.export(module, (example[:1],), strict=False).run_decompositions({})
    except Exception as error:  # torch.export raises whatever the user's module raises
        raise BundleError(f"torch.export cannot trace the network: {_first_line(error)}") from error
    return _exported(dynamic, static, input_spec)


def _exported(dynamic: ExportedProgram, static: ExportedProgram, input_spec: TensorSpec) -> Exported:
    weights, keys = _weights(dynamic)
    results = _checked_results(dynamic, input_spec)
    data = _data_nodes(dynamic, input_spec.name)
    names = _names(data, _data_nodes(static, input_spec.name), dynamic)
    encoder = _Encoder(keys=keys, names=names)
    nodes = tuple(encoder.node(n) for n in dynamic.graph.nodes if n.op == "call_function" and not _is_check(n))
    readable = {n.name for n in data} | {input_spec.name}
    graph = tuple(_graph_node(n, names, readable) for n in data)
    crossable = {names[n.name] for n in data if _batch_leads(n.meta.get("val"))} | {input_spec.name}
    program = Program(
        input=input_spec.name, nodes=nodes, outputs=tuple(names[o.name] for o in results), weights=weights
    )
    outputs = tuple(
        TensorSpec(name=names[o.name], shape=_shape(o.meta["val"]), dtype=_dtype(o.meta["val"])) for o in results
    )
    return Exported(program=program, graph=graph, outputs=outputs, crossable=frozenset(crossable), static=static)


def _checked_results(exported: ExportedProgram, input_spec: TensorSpec) -> list[fx.Node]:
    """The graph's results.

    Raises:
        BundleError: the network is not a function of one input with results of known shapes, the batch leading.
    """
    roles = exported.graph_signature
    if list(roles.user_inputs) != [input_spec.name]:
        taken = ", ".join(map(str, roles.user_inputs))
        raise BundleError(f"the network takes {taken}; Suture cuts networks of one input, {input_spec.name!r}")
    changed = [*roles.buffers_to_mutate.values(), *roles.user_inputs_to_mutate.values()]
    if changed:
        raise BundleError(f"the network changes {', '.join(changed)} as it runs; a cut network must compute only")
    for node in exported.graph.nodes:
        if any(free_unbacked_symbols(value) for value in _tensors(node.meta.get("val"))):
            raise BundleError(f"the shape of {node.name} depends on the data; Suture cuts networks of fixed shapes")
    results: Any = next(n for n in exported.graph.nodes if n.op == "output").args[0]
    for place, result in enumerate(results):
        if not isinstance(result, fx.Node) or not _batch_leads(result.meta.get("val")):
            raise BundleError(
                f"result {place + 1} of the network, {result}, is no tensor whose first axis is the batch"
            )
    return list(results)


def _data_nodes(exported: ExportedProgram, input_name: str) -> list[fx.Node]:
    """Calls that compute tensors from the input, in topological order; sizes and constants are not among them."""
    seen, found = {input_name}, []
    for node in exported.graph.nodes:
        is_call = node.op == "call_function" and not _is_check(node) and _tensors(node.meta.get("val"))
        if is_call and any(read.name in seen for read in node.all_input_nodes):
            seen.add(node.name)
            found.append(node)
    return found


def _names(data: list[fx.Node], static: list[fx.Node], dynamic: ExportedProgram) -> dict[str, str]:
    """Name of each node of the dynamic export in the batch-1 export, whose names reach the engines.

    The two differ since arithmetic on the symbolic batch takes names too (`add_28` for `add_1`).
    """
    same = len(data) == len(static) and all(a.target == b.target for a, b in zip(data, static, strict=True))
    if not same:
        raise BundleError("the network computes differently at batch 1 than at larger batches; it cannot be cut")
    names = {a.name: b.name for a, b in zip(data, static, strict=True)}
    taken = set(names.values())
    for node in dynamic.graph.nodes:
        if node.name not in names:
            names[node.name] = node.name if node.name not in taken else f"batch_{node.name}"
    return names


def _weights(exported: ExportedProgram) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Weights by key, and the key that each lifted placeholder stands for."""
    roles = exported.graph_signature
    keys = {**roles.inputs_to_parameters, **roles.inputs_to_buffers, **roles.inputs_to_lifted_tensor_constants}
    values: dict[str, torch.Tensor] = {}
    for key in keys.values():
        value = exported.state_dict[key] if key in exported.state_dict else exported.constants[key]
        values[key] = value.detach().clone()
    return values, keys


def _is_check(node: fx.Node) -> bool:
    return any(check in str(node.target) for check in _CHECKS)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [v for v in value if isinstance(v, torch.Tensor)] if isinstance(value, list | tuple) else []


def _graph_node(node: fx.Node, names: dict[str, str], readable: set[str]) -> GraphNode:
    value = node.meta.get("val")
    tensor = value if isinstance(value, torch.Tensor) else None
    return GraphNode(
        name=names[node.name],
        op=_target_name(node.target),
        inputs=tuple(names[read.name] for read in node.all_input_nodes if read.name in readable),
        shape=() if tensor is None else _shape(tensor),
        dtype="tuple" if tensor is None else _dtype(tensor),
        macs=node_macs(node),
    )


def _batch_leads(value: Any) -> bool:
    """Whether `value` is a tensor whose leading axis, and no other, is the batch."""
    if not isinstance(value, torch.Tensor) or value.dim() == 0 or value.dtype not in _DTYPES:
        return False
    sizes: list[Any] = list(value.shape)
    if not isinstance(sizes[0], torch.SymInt) or any(isinstance(size, torch.SymInt) for size in sizes[1:]):
        return False
    return bool(sizes[0].node.expr.is_Symbol)


def _shape(value: torch.Tensor) -> tuple[int, ...]:
    return tuple(_at_batch_one(size) for size in value.shape)


def _at_batch_one(size: int | torch.SymInt) -> int:
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))


def _dtype(value: torch.Tensor) -> str:
    return _DTYPES.get(value.dtype, str(value.dtype).removeprefix("torch."))


def _target_name(target: Any) -> str:
    if isinstance(target, torch._ops.OpOverload):
        schema: Any = target._schema
        namespace, name = schema.name.split("::")
        return f"{namespace}.{name}.{target._overloadname}"
    name = str(getattr(target, "__name__", ""))
    if name and getattr(operator, name, None) is target:
        return f"operator.{name}"
    raise BundleError(f"the network's graph holds {target}, which is not an aten operator")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoder:
    """Turns fx arguments into JSON values."""

    keys: dict[str, str]
    names: dict[str, str]

    def node(self, node: fx.Node) -> ProgramNode:
        return ProgramNode(
            name=self.names[node.name],
            target=_target_name(node.target),
            args=tuple(self.value(a) for a in node.args),
            kwargs={k: self.value(v) for k, v in node.kwargs.items()},
        )

    def value(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return {"w": self.keys[value.name]} if value.name in self.keys else {"n": self.names[value.name]}
        if isinstance(value, list | tuple):
            return [self.value(v) for v in value]
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
            return {"torch": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"torch": f"device:{value}"}
        if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise BundleError(f"the network's graph holds the argument {value!r}, which a bundle cannot store")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
