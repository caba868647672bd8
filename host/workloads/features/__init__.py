"""Vectors of numbers, one a frame, into any network."""
