"""Cost twins of the neuron models (`host/cost/twins.py`)."""
