"""Trained models that come with the project.

`lm.safetensors`: the paper's sizes (750; 1350, 1350, 750), 95 % of every weight matrix pruned, trained on the standard
library's documentation: a demonstration corpus, not WikiText-2 (docs/model.md). `tiny.safetensors`: the same text at a
size that a few PEs hold, for tests.
"""
