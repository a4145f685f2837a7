"""Suture: the face that `import suture` and the `suture` command give a user."""
