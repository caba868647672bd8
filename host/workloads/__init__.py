"""What can run on the chip: one folder a workload, found by its name."""

from models.families import family_path

__path__ = family_path(__path__, __name__)
