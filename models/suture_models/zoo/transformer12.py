"""Transformer classifier of 12-lead ECGs, five seconds at 100 Hz, in tokens of a tenth of a second."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suture_models.manifest import NetworkSpec
from suture_models.zoo.base import ECG_LABELS, ECG_LEADS, ECG_SAMPLES, signal_spec

_WIDTH = 128
_HEADS = 4
_LAYERS = 4
_PATCH_SAMPLES = 10


class TransformerClassifier(nn.Module):
    """Takes float32 (N, T, L) in millivolts, returns logits (N, K); pre-norm, learned positions, mean pooling."""

    def __init__(self, *, samples: int, leads: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(leads, _WIDTH, _PATCH_SAMPLES, stride=_PATCH_SAMPLES)
        self.position = nn.Parameter(torch.randn(1, samples // _PATCH_SAMPLES, _WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(_Block(_WIDTH, _HEADS) for _ in range(_LAYERS)))
        self.norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, classes)

    def forward(self, signal: Tensor) -> Tensor:
        """Logits (N, classes) of `signal` (N, T, L)."""
        tokens = self.embed(signal.transpose(1, 2)).transpose(1, 2) + self.position
        out: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return out


class _Block(nn.Module):
    """Written out because `nn.TransformerEncoderLayer` exports as one fused operation, which nothing can cut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (self._heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return out


def build() -> tuple[nn.Module, NetworkSpec]:
    """The five-label classifier, one label to a signal."""
    module = TransformerClassifier(samples=ECG_SAMPLES, leads=ECG_LEADS, classes=len(ECG_LABELS))
    return module, signal_spec("transformer12", samples=ECG_SAMPLES, leads=ECG_LEADS, labels=ECG_LABELS)
