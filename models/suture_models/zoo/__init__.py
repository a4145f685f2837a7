"""The networks: one file each, and `registry`, which loads them by name. Needs torch."""
