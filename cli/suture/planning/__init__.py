"""The parts of `suture plan`: its tables and its drawing."""
