"""One file per engine: from the exported network to that engine's artefacts. Only building imports these."""
