"""Published rules for choosing a cut, fed with the same profiles, the same link and the same wire as ours."""
