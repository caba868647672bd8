"""Compiled code and the arithmetic that all kernels share."""
