"""Cost twins of the neuron models (`host/cost/twins.py`)."""

from models.families import family_path

__path__ = family_path(__path__, __name__)
