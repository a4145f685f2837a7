"""Networks, bundles and what both sides do with an image before it meets a network."""

import sys

# OpenVINO and NNCF tell Intel of each use through this package, by a forked process, without asking. A machine that
# holds patients' images reports to nobody; both take a missing package for "no telemetry". It must be settled before
# either is imported, and every module of ours that imports them lies in this package or imports it first.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
