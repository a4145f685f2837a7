"""Training recipes: how the weights that this package carries were made, and can be made again. Needs torch."""
