"""The emulated slow device in parts; `suture_simulators.device` is its face."""
