"""Compiled code and the arithmetic that all kernels share."""

from models.compute.compiler_settings import load_compiler

load_compiler()  # before any file in here asks numba for something
