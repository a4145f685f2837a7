"""Emulated links and emulated slow devices, for experiments and the demo."""
