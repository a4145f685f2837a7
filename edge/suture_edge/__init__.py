"""The edge agent: reads images, runs heads on the local engine, streams codes to the cloud. Never imports torch."""
