"""The run by the rules of NeuroBench."""

from host.show.blocks import Html, flatten, paragraph, table
from host.show.content import Content

TITLE = "NeuroBench metrics"
ORDER = 70
_RULES = (
    "Of the network that the PEs run, by the rules of NeuroBench's harness for recurrent cells; an execution is one "
    "position of one sequence. Host: the embedding, which is the decoder too. The definitions are in docs/report.md."
)


def build(content: Content) -> list[Html]:
    """Return the metrics."""
    metrics = content.report.get("neurobench")
    return [paragraph(_RULES, "faint"), table(("metric", "value"), flatten(metrics), numeric=(1,))] if metrics else []
