"""Trains S-LISTA networks for harmonic retrieval, and converts networks to Few-Spikes neurons."""
