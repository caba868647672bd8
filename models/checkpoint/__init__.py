"""Checkpoints: a network, and what makes it a language model or a gesture classifier, in one safetensors file."""

from models.checkpoint.file import load, save
from models.checkpoint.model import DecoderProjection, Model
from models.checkpoint.tasks.language import SPLITS

__all__ = ["SPLITS", "DecoderProjection", "Model", "load", "save"]
