"""How `suture profile` shows a profile: tables and a drawing."""
