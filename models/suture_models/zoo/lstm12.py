"""Two-layer LSTM classifier of 12-lead ECGs, five seconds at 100 Hz."""

from __future__ import annotations

from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import ECG_LABELS, ECG_LEADS, ECG_SAMPLES, signal_spec

_HIDDEN = 128


class LstmClassifier(nn.Module):
    """Takes float32 (N, T, L) in millivolts, returns logits (N, K). One module a layer, so that it cuts between."""

    def __init__(self, *, leads: int, classes: int, hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.first = nn.LSTM(leads, hidden, batch_first=True)
        self.second = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)
        _initialise(self.first)
        _initialise(self.second)

    def forward(self, signal: Tensor) -> Tensor:
        """Logits (N, classes) of `signal` (N, T, L)."""
        x, _ = self.first(signal)
        x, _ = self.second(x)
        out: Tensor = self.head(x.mean(1))
        return out


def _initialise(lstm: nn.LSTM) -> None:
    """Xavier inputs, orthogonal recurrence, forget gates open; torch's small uniform weights forget the signal."""
    for name, parameter in lstm.named_parameters():
        gates = parameter.data.chunk(4)  # Input, forget, cell, output (torch.nn.LSTM).
        if name.startswith("weight"):
            for gate in gates:
                _ = nn.init.orthogonal_(gate) if "_hh_" in name else nn.init.xavier_uniform_(gate)
            continue
        nn.init.zeros_(parameter)
        if "_ih_" in name:
            gates[1].fill_(1.0)


def build() -> tuple[nn.Module, NetworkSpec]:
    """The five-label classifier, one label to a signal."""
    module = LstmClassifier(leads=ECG_LEADS, classes=len(ECG_LABELS))
    return module, signal_spec("lstm12", samples=ECG_SAMPLES, leads=ECG_LEADS, labels=ECG_LABELS)
