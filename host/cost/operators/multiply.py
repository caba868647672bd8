"""Multiplying element by element, and scaling the product."""

from host.cost.cost_table import CostTable
from host.cost.program_settings import ProgramSettings
from models.dnn.work import CoreWork


def unit_cycles(work: CoreWork, table: CostTable, settings: ProgramSettings) -> float:
    """Return the core's cycles of a unit."""
    return work.steps * table["dnn_multiply_cycles"] + work.results * table["dnn_requantise_cycles"]
