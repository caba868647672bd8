"""Layered networks (DNNs): an operator graph in float as a file has it, and the integer network that the chip runs.

`graph.py` has the float graph, `integer.py` the integer one; `models/quantise/dnn.py` makes the second of the first.
"""
