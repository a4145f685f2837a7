"""The head of cut 0: nothing is computed, the preprocessed input itself crosses."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


class InputHead:
    """Gives back its input; serves every engine."""

    def run(self, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The input as the only boundary tensor."""
        return (image,)

    def layer_times_s(self) -> dict[str, float]:
        """Empty: no layer runs."""
        return {}

    def close(self) -> None:
        """Nothing to free."""
