"""Training the tables that codecs find in a bundle, from the codes of calibration inputs."""
