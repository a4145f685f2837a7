"""The sub-commands, one file each with `register(app)`; the table in `suture.app` names them."""
