"""LiteRT's conversions in a process of their own: its converter crashes on some operators and drowns in LSTMs.

`python -m suture_models.quantisers.litertjob FOLDER SECONDS` is that process: it works off the heads that
`FOLDER/job.json` lists and writes a line of JSON per head, an empty text or what is wrong.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from suture_models.program import Program, load_program
from suture_protocol.errors import BundleError

#: Processor time for one head; ordinary ones take 10 to 40 s, an LSTM unrolled over 500 steps some 240 s.
HEAD_LIMIT_S = 300
_PROGRAM, _WEIGHTS, _INPUTS, _JOB = "program.json", "weights.safetensors", "inputs.npz", "job.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A head to convert: the tensors that it computes, and where its flat buffers go."""

    cut_id: str
    outputs: tuple[str, ...]
    float_path: Path
    int8_path: Path


def convert_heads(program: Program, inputs: Sequence[NDArray[Any]], heads: Sequence[Head]) -> Iterator[str]:
    """Writes the flat buffers of `heads`; yields after each what is wrong with it, or nothing."""
    with tempfile.TemporaryDirectory(prefix="suture-litert-") as scratch:
        folder = Path(scratch)
        program.save(folder / _PROGRAM, folder / _WEIGHTS)
        np.savez(folder / _INPUTS, *inputs)
        left = list(heads)
        while left:
            rows = [
                {"outputs": h.outputs, "float": str(h.float_path.resolve()), "int8": str(h.int8_path.resolve())}
                for h in left
            ]
            (folder / _JOB).write_text(json.dumps(rows), encoding="utf-8")
            yield from _attempt(folder, left)


def _attempt(folder: Path, left: list[Head]) -> Iterator[str]:
    """What one process says of the heads `left`, which it takes off the list; a crash is the fault of the one it is at.

    A head that takes too long takes all later ones with it, since they hold the same operators.
    """
    command = [sys.executable, "-m", "suture_models.quantisers.litertjob", str(folder), str(HEAD_LIMIT_S)]
    with (folder / "stderr").open("w+b") as noise:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noise, text=True, env=_environment())
        assert process.stdout is not None
        try:
            for line in process.stdout:
                left.pop(0)
                yield str(json.loads(line))
        finally:
            process.stdout.close()
            _stop(process)
        if not left:
            return
        status = process.returncode
        if status == -signal.SIGXCPU:
            yield from [f"LiteRT's converter takes more than {HEAD_LIMIT_S} s of processor time"] * len(left)
            left.clear()
            return
        left.pop(0)
        how = f"signal {-status}" if status < 0 else f"status {status}: {_last_line(noise)}"
        yield f"LiteRT's converter crashes ({how})"


def _stop(process: subprocess.Popen[str]) -> None:
    """Waits for a process that closed its output, or ends one whose caller has gone."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(noise: IO[bytes]) -> str:
    noise.seek(0)
    lines = noise.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:120] if lines else "no message"


def _environment() -> dict[str, str]:
    """This process's, with its import path, so that the other one finds the same packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def _work(folder: Path, limit_s: int, answers: IO[str]) -> None:
    from suture_models.quantisers.litert import convert, without_dead_channels
    from suture_models.quantisers.litertvolumes import with_plain_volumes
    from suture_models.quantisers.rounding import output_shifts
    from suture_models.zoo.threads import torch_threads

    with torch_threads(1), np.load(folder / _INPUTS) as stored:
        inputs = [stored[name] for name in stored.files]
        program = without_dead_channels(load_program(folder / _PROGRAM, folder / _WEIGHTS))
        program = with_plain_volumes(program, inputs[0])
        shifts = output_shifts(program, inputs, "int8")
        for row in json.loads((folder / _JOB).read_text(encoding="utf-8")):
            problem = ""
            _allow(limit_s)
            try:
                convert(program, row["outputs"], inputs, shifts, Path(row["float"]), Path(row["int8"]))
            except BundleError as error:
                problem = str(error)
            answers.write(json.dumps(problem) + "\n")
            answers.flush()


def _allow(seconds: int) -> None:
    """Lets this process use so much more processor time; past that the kernel ends it with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, hard))


def main(arguments: Sequence[str]) -> None:
    """Works off a job: `arguments` are its folder and the seconds that a head may take.

    Native chatter on stdout goes to stderr.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        _work(Path(arguments[0]), int(arguments[1]), answers)


if __name__ == "__main__":
    main(sys.argv[1:])
