"""The parts of `suture demo`: cloud, link and unit as processes of this machine, the rival ways, and the report."""
