"""The trainer of gesture networks."""
