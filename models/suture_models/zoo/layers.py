"""Layers that more than one network of the zoo needs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: the output has ceil(size / stride) pixels a side.

    At stride 2 the odd pixel of padding goes right and below, where `nn.Conv2d(padding=k // 2)` puts one on every
    side and so samples every window one pixel off. Weights that come from TensorFlow need this.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        # Stride 1 needs symmetric padding only, which costs no operation of its own in the graph.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolves x (N, C, H, W)."""
        if self.stride[0] > 1:
            kernel, stride = self.kernel_size[0], self.stride[0]
            top, bottom = same_padding(x.shape[2], kernel, stride)
            left, right = same_padding(x.shape[3], kernel, stride)
            x = F.pad(x, (left, right, top, bottom))
        return super().forward(x)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels of padding before and after an axis of `size` so that the output has ceil(size / stride)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
