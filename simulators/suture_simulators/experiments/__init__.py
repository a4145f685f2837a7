"""Experiments over emulated links and devices: declared, resumable, each with samples, figures and a report."""
