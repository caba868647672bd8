"""Sweeps over settings: the experiment file, its points, their table and plots."""
