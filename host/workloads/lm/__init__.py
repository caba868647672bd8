"""Language models: a text is scored, or a prompt is continued."""

from typing import Any

from host.workloads.contract import Command, Metric

DEFAULT = True
UNIT = "token"
SHIPPED = "lm.safetensors"
GATES = {"after": SHIPPED, "inside": "tiny-inside.safetensors"}
"""Forms of the EGRU, by where its reset gate is (`--gate`), and the trained model of each that is shipped."""
HEADS = ("language",)
COMMANDS = {
    "lm": Command("run a language model on the emulated chip"),
    "verify": Command("run it and compare every event with a plain reference", {"verify": True}),
}
EXAMPLES = (
    ("lm", "the paper's model on 150 PEs"),
    ("lm --gate inside", "the paper's equation 4, as printed"),
    ("lm --text book.txt", "score your own text"),
    ('lm --prompt "the list"', "let it go on writing"),
    ("verify --tokens 70", "every event against a reference"),
    ("lm --chips 4 --cluster local:2", "chips on Dask workers"),
)
BRIEF = {"tokens": 32}  # options of a run that is long enough to compare mappings


def shipped_for(options: Any) -> str:
    """Return the shipped model that a run without a checkpoint takes."""
    return GATES[options.gate or "after"]


def kernels_for(options: Any) -> tuple[str, ...]:
    """Return the neuron models of a seeded network."""
    return ("egru_gate", "egru_cell") if options.gate == "inside" else ("egru",)


METRICS = {"perplexity": Metric(name="perplexity", label="perplexity", unit="", digits=2, better="low")}
