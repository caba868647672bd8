"""Cycles of loops on a PE's core: compiled from C as they would be for it, run instruction by instruction, and timed."""
