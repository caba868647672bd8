"""What is computed: networks, neuron kernels, weight formats, checkpoints and text. Nothing here knows a PE, a packet
or a chip.
"""
