"""A real control plane with seven fake Pis: `make cluster`."""
