"""Checkpoints: a network, and what makes it a language model or a gesture classifier, in one safetensors file."""

from models.checkpoint.file import SPLITS, DecoderProjection, Model, load, save

__all__ = ["SPLITS", "DecoderProjection", "Model", "load", "save"]
