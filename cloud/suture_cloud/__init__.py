"""The cloud replica: receives codes, runs torch tails, returns named tensors. Never imports the edge."""
