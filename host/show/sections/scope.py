"""What is modelled and what is not: the same for every run."""

from host.show.blocks import Html, details, listing
from host.show.content import Content

TITLE = "What is modelled and what is not"
ORDER = 80
IS_MODELLED = {
    "Exact: computed or counted, not estimated": [
        "events with their float32 values, the text or score that follows from them, and effective multiply-accumulates: bit for "
        "bit the same for any number of PEs, mapping and transport",
        "copies of events between PEs, and what the routing table delivers and drops",
        "SRAM: every byte that a PE keeps lies in a named region of a 128 KiB arena",
    ],
    "Modelled: exact counts times constants with a source, listed below": [
        "cycles of each stage, from instruction timings of a Cortex-M4F for the loops as a compiler emits them",
        "messages: flits, routes round the floor plan's holes, the busiest link or port and the farthest hop of each turn",
        "DRAM: the time to read the input at a sustained rate",
        "power: the chip's published states, weighted by how long PEs compute and wait; the bands show what is uncertain",
    ],
    "Not modelled": [
        "bank conflicts in SRAM, and refresh and latency of DRAM",
        "queues in the network on chip beyond the busiest link or port; the energy of a hop",
        "the host's own work (embedding look-up, CNN, decoder, softmax), the loading of weights, and the start of the chip",
        "heat, ageing, and differences between chips",
    ],
}


def build(content: Content) -> list[Html]:  # noqa: ARG001 - it holds for every run
    """Return the lists."""
    return [details(title, listing(points)) for title, points in IS_MODELLED.items()]
