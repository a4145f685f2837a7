"""Synthetic colour pictures with the statistics of natural ones, to calibrate colour networks with. Torch-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Radii in shares of the picture's shorter side.
_SMALLEST, _LARGEST = 0.02, 0.5
_DISCS = 1200
#: Standard deviation of a leaf's own texture, in grey levels.
_TEXTURE = 12.0


def dead_leaves(size_HW: tuple[int, int], *, seed: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) of discs that hide one another: the dead leaves model (Lee, Mumford and Huang 2001).

    With radii of density r^-3 it has edges, occlusion and a spectrum like those of photographs, at every scale
    (doi:10.1023/A:1011109015675). Colours are uniform over the cube, so that every channel takes its whole range, and
    over all lies a fine texture whose octaves have equal energy (Field 1987).
    """
    generator = np.random.default_rng(seed)
    height, width = size_HW
    side = min(size_HW)
    low, high = (_SMALLEST * side) ** -2.0, (_LARGEST * side) ** -2.0
    radii = (low - generator.random(_DISCS) * (low - high)) ** -0.5
    rows, columns = generator.random(_DISCS) * height, generator.random(_DISCS) * width
    colours = generator.random((_DISCS + 1, 3)) * 255.0
    picture = np.empty((height, width, 3))
    picture[:] = colours[-1]
    for radius, row, column, colour in zip(radii, rows, columns, colours[:-1], strict=True):
        top, left = max(int(row - radius), 0), max(int(column - radius), 0)
        bottom, right = int(row + radius) + 1, int(column + radius) + 1
        part = picture[top:bottom, left:right]
        y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        part[(y + 0.5 - row) ** 2 + (x + 0.5 - column) ** 2 <= radius**2] = colour
    textured = picture + _TEXTURE * _octaves(size_HW, generator)
    return np.rint(np.clip(textured, 0, 255)).astype(np.uint8)


def _octaves(size_HW: tuple[int, int], generator: np.random.Generator) -> NDArray[np.float64]:
    """Grey noise (H, W, 1) of amplitude 1/f, mean 0, standard deviation 1."""
    height, width = size_HW
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)[np.newaxis])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(generator.normal(size=size_HW)) / frequency, s=size_HW)
    unit: NDArray[np.float64] = (noise / noise.std())[..., np.newaxis]
    return unit
