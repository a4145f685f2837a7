"""The unit's process, at the near end of the link: `python -m suture.demo.unit CONFIG.json`.

The configuration is JSON: `job` (`prepare` or `measure`), `result` (the file to write), `cloud` (HOST:PORT; without it
`SUTURE_PEER`), `bundles`, `studies` and what the job's own file says. Progress goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from suture_protocol.errors import SutureError
from suture_simulators.experiments.child import end_with_parent


def tell(done: int, total: int, text: str) -> None:
    """Tells the parent how far this process is."""
    sys.stdout.write(json.dumps({"done": done, "total": total, "text": text}) + "\n")
    sys.stdout.flush()


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Does the configuration's job and gives back its result."""
    from suture.demo import measuring, preparing
    from suture_edge.channels import PlainChannels
    from suture_edge.client import CloudClient

    address = config.get("cloud") or os.environ["SUTURE_PEER"]
    with CloudClient(address, PlainChannels(insecure=True)) as client:
        # A link's first packets may stall for a second.
        client.ensure_connected(timeout_s=15.0)
        return (preparing.prepare if config["job"] == "prepare" else measuring.measure)(config, client, tell)


def main() -> int:
    """Runs; a failure that has a message for people is one line on stderr."""
    end_with_parent()
    logging.basicConfig(level=logging.WARNING)
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        result = run(config)
    except SutureError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 3
    path = Path(config["result"])
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
    temporary.replace(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
