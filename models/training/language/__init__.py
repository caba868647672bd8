"""The trainer of language models."""
