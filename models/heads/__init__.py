"""Heads: from the last population's events to an answer, on the host."""
