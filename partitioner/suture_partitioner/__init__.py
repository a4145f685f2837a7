"""Profiling and planning: arithmetic over measured times. Knows engines only as callables; never imports torch."""
