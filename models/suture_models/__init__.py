"""Networks, bundles and what both sides do with an image before it meets a network."""
