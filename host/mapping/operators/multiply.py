"""A product of two things that arrive."""

from host.mapping.operators._elementwise import blocks
from host.mapping.operators._elementwise import element_words as configuration

__all__ = ["blocks", "configuration"]
