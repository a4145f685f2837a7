"""How many bits codes will take: a learned frequency table per channel, differentiable in the table and the codes.

Axes: N batch, C channels, H height, W width, L levels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Rate(nn.Module):
    """Code lengths under one table per channel, each symbol on its own: what an order-0 entropy coder spends."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.scores_CL = nn.Parameter(torch.zeros(channels, levels))

    def bits(self, latent_NCHW: Tensor) -> Tensor:
        """Bits (N,) of each sample's codes.

        Between two levels the length is read off the straight line from one to the other, so that a code is drawn
        towards the level that costs less; at whole numbers it is the ideal code length itself.
        """
        lengths_CL = torch.log_softmax(self.scores_CL, 1) / -math.log(2)
        levels = lengths_CL.shape[1]
        below = latent_NCHW.detach().floor().clamp(0, levels - 2).long()
        channel = torch.arange(len(lengths_CL)).view(1, -1, 1, 1).expand_as(below)
        low, high = lengths_CL[channel, below], lengths_CL[channel, below + 1]
        return (low + (high - low) * (latent_NCHW - below)).sum((1, 2, 3))
