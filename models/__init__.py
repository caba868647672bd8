"""What is computed: networks, neuron kernels, weight formats, checkpoints, text. Nothing here knows a PE, packet or chip."""
