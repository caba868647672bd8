"""Starts, watches and ends one run."""
