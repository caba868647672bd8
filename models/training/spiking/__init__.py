"""The trainer of spiking gesture networks."""
