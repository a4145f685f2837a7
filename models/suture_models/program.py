"""The float program of a bundle: an exported aten graph as plain JSON plus safetensors weights. Build and cloud only.

`torch.export.save` may pickle what it stores and its bytes differ from run to run; this form holds nothing but names of
aten operators and plain arguments, so a bundle from elsewhere cannot execute anything else, and equal programs give
equal files.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import fx

from suture_protocol.errors import BundleError

#: Python operators that appear between symbolic sizes, and `getitem` for operators that return several tensors.
_OPERATORS: dict[str, Callable[..., Any]] = {
    name: getattr(operator, name) for name in ("getitem", "add", "sub", "mul", "floordiv", "neg")
}
#: Operators of aten that reach beyond the tensors they are given: these map, and create, files.
_REFUSED = frozenset({"from_file"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramNode:
    """One operator call. Arguments are JSON values; `{"n": name}` refers to a node, `{"w": key}` to a weight."""

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def references(self) -> tuple[str, ...]:
        """Names of the nodes this one reads, each once, in order."""
        return tuple(dict.fromkeys(_marked([list(self.args), self.kwargs], "n")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """Nodes in topological order; `input` names the one placeholder, `outputs` the results."""

    input: str
    nodes: tuple[ProgramNode, ...]
    outputs: tuple[str, ...]
    weights: dict[str, torch.Tensor]

    def save(self, json_path: Path, weights_path: Path) -> None:
        """Writes the program; equal programs give equal bytes."""
        rows = [{"name": n.name, "target": n.target, "args": n.args, "kwargs": n.kwargs} for n in self.nodes]
        document = {"input": self.input, "nodes": rows, "outputs": self.outputs}
        json_path.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")), encoding="utf-8")
        # Not by `save_file`, whose files are their owner's alone: a cloud may run as somebody else.
        weights_path.write_bytes(save({k: v.contiguous() for k, v in sorted(self.weights.items())}))


def load_program(json_path: Path, weights_path: Path) -> Program:
    """Reads what `Program.save` wrote.

    Raises:
        BundleError: the files are not a program, or it names what is neither an aten operator nor a part of it.
    """
    try:
        raw = json.loads(json_path.read_text(encoding="utf-8"))
        nodes = tuple(
            ProgramNode(name=n["name"], target=n["target"], args=tuple(n["args"]), kwargs=n["kwargs"])
            for n in raw["nodes"]
        )
        weights = load_file(weights_path)
        program = Program(input=raw["input"], nodes=nodes, outputs=tuple(raw["outputs"]), weights=weights)
        _check(program)
    except (OSError, ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        message = f"{json_path}: not a readable program ({error!r}); build or copy the bundle again"
        raise BundleError(message) from error
    return program


def _check(program: Program) -> None:
    """Refuses a program that does not stand on its own: each node may read only weights and earlier nodes."""
    known = {program.input}
    for node in program.nodes:
        resolve(node.target)
        arguments = [list(node.args), node.kwargs]
        for constant in _marked(arguments, "torch"):
            _torch_constant(constant, None)
        unknown = [
            *(n for n in node.references() if n not in known),
            *(set(_marked(arguments, "w")) - {*program.weights}),
        ]
        if unknown:
            raise BundleError(f"the program's node {node.name!r} reads {unknown[0]!r}, which comes later or never")
        known.add(node.name)
    if not program.outputs or not known.issuperset(program.outputs):
        raise BundleError(f"the program does not compute its outputs {program.outputs}")


def subgraph(
    program: Program, inputs: tuple[str, ...], outputs: tuple[str, ...], device: torch.device | None = None
) -> fx.GraphModule:
    """The part of `program` that computes `outputs` from `inputs`, as a module: the head or the tail of a cut.

    Sizes that the graph reads off tensors before the cut (the batch) are read off the first input instead: all tensors
    that may cross a cut have the batch as their leading axis. Tensors that the graph makes itself are made on `device`
    (default: the CPU); weights stay where they are. `meta["node"]` of each operation names the program's node.

    Raises:
        BundleError: `outputs` need more than `inputs`, or the program names an operator that is not aten's.
    """
    by_name = {n.name: n for n in program.nodes}
    needed = _needed(by_name, inputs, outputs)
    root = torch.nn.Module()
    graph = fx.Graph()
    env: dict[str, fx.Node] = {name: graph.placeholder(name) for name in inputs}
    attributes: dict[str, fx.Node] = {}

    def weight(key: str) -> fx.Node:
        if key not in attributes:
            attribute = f"w{len(attributes)}"
            root.register_buffer(attribute, program.weights[key], persistent=False)
            attributes[key] = graph.get_attr(attribute)
        return attributes[key]

    for node in program.nodes:
        if node.name not in needed:
            continue
        if _is_batch_size(node) and not all(name in env for name in node.references()):
            args: Any = (env[inputs[0]], 0)
        else:
            args = _decode(list(node.args), env, weight, device)
        kwargs = _decode(node.kwargs, env, weight, device)
        env[node.name] = graph.call_function(resolve(node.target), tuple(args), kwargs)
        env[node.name].meta["node"] = node.name
    graph.output(tuple(env[name] for name in outputs))
    return fx.GraphModule(root, graph)


def resolve(target: str) -> Callable[..., Any]:
    """The function that `target` names: an aten overload or one of a few Python operators.

    Raises:
        BundleError: anything else; a program cannot name arbitrary code.
    """
    kind, _, rest = target.partition(".")
    if kind == "operator" and rest in _OPERATORS:
        return _OPERATORS[rest]
    name, _, overload = rest.partition(".")
    packet = getattr(torch.ops.aten, name, None) if kind == "aten" and name not in _REFUSED else None
    function = getattr(packet, overload, None) if packet is not None else None
    if not isinstance(function, torch._ops.OpOverload):
        message = (
            f"the program names {target!r}, which is no aten operator of torch {torch.__version__} that it may name"
        )
        raise BundleError(message)
    return function


def _is_batch_size(node: ProgramNode) -> bool:
    return node.target == "aten.sym_size.int" and node.args[1:] == (0,)


def _needed(by_name: dict[str, ProgramNode], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> set[str]:
    """Names of the nodes to run, `inputs` left out."""
    stack, needed = list(outputs), set[str]()
    while stack:
        name = stack.pop()
        if name in inputs or name in needed:
            continue
        node = by_name.get(name)
        if node is None:
            raise BundleError(f"{', '.join(outputs)} cannot be computed from {', '.join(inputs)}: {name} is missing")
        needed.add(name)
        if not _is_batch_size(node):
            stack.extend(node.references())
    return needed


def _marked(value: Any, marker: str) -> Iterable[str]:
    """What stands under `marker` (`n`, `w` or `torch`) in the arguments of a node."""
    if isinstance(value, dict):
        found = next((m for m in ("n", "w", "torch") if m in value), None)
        if found == marker:
            yield value[marker]
        elif found is None:
            for item in value.values():
                yield from _marked(item, marker)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _marked(item, marker)


def _decode(value: Any, env: dict[str, fx.Node], weight: Callable[[str], fx.Node], device: torch.device | None) -> Any:
    if isinstance(value, dict):
        if "n" in value:
            return env[value["n"]]
        if "w" in value:
            return weight(value["w"])
        if "torch" in value:
            return _torch_constant(value["torch"], device)
        return {key: _decode(item, env, weight, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_decode(item, env, weight, device) for item in value]
    return value


def _torch_constant(name: str, device: torch.device | None) -> Any:
    if name.startswith("device:"):
        return device if device is not None else torch.device("cpu")
    constant = getattr(torch, name, None)
    if not isinstance(constant, torch.dtype | torch.layout | torch.memory_format):
        raise BundleError(f"the program names the constant {name!r}, which torch does not have")
    return constant
