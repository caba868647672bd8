"""Text for the language model: where it comes from, how it becomes words, and how words become ids.

`words` cuts text into words, `vocabulary` numbers them, `corpus` finds text to train and evaluate on. Nothing here
knows a network, a chip or a checkpoint, and importing the package loads none of its modules.
"""
