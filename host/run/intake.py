"""`Intake`: what becomes of the sections that come back: hashed, counted, recorded, compared, answered, each once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from host.mapping.placement import Placement
from host.run.accounts import Accounts
from host.run.answers import Answers
from host.run.event_hash import EventStream
from host.run.recorder import Recorder
from host.run.recovery import RestartLog
from host.run.saved import SavedRun
from host.run.step_counts import StepCounts
from host.run.verify import Witness
from host.workloads.contract import Readout
from host.workloads.section_events import all_sending
from noc.packet import Section

_RECENT = 20  # sections of a layer, for the monitor


class Intake:
    """Takes valid sections in the order in which they come.

    `events`: their hash. `counts`: their work. `answers`: what the outputs say. `recorder`: the ledger. `recent`: the last ones of
    each layer. `replay`: leaves out what was taken before new routers and PEs said it again. `probes`: layer -> fields that the
    readout, or what keeps them, observes.
    """

    def __init__(
        self, placement: Placement, readout: Readout, *, events: EventStream, recorder: Recorder, replay: RestartLog | None,
        probes: Mapping[int, Sequence[str]], saved: SavedRun | None, witness: Witness | None,
    ) -> None:  # fmt: skip
        network = placement.network
        self._readout, self._saved, self._witness, self._replay, self._probes = readout, saved, witness, replay, probes
        self._keeps: Callable[[Section], bool] = getattr(readout, "keeps", lambda _: True)
        self._sending, self._outputs = all_sending(network, placement.request.lanes), network.outputs
        self.events, self.recorder = events, recorder
        self.counts = StepCounts(placement, probes)
        self.answers = Answers(readout, network.outputs, sum(self._sending[n].ticks for n in network.outputs))
        self.recent = {n: deque[Section](maxlen=_RECENT) for n in network.layers}

    def take(self, section: Section, accounts: Accounts) -> None:
        """Take a section; `accounts` are those of the processes that run now."""
        population = section.population
        if population in self._outputs:
            accounts.output_events += self._sending[population].count_events(section.keys, section.values)
            self.answers.count(section.position)
        if (self._replay is not None and not self._replay.add_output(section)) or not self._keeps(section):
            return
        self.events.add(section)
        self.recent[population].append(section)
        self.counts.add(section)
        if self._saved is not None:
            self._saved.add(section)
        self.answers.see(section)
        if population in self._probes:
            section = self._observe(section)
        self.recorder.add(section)
        if self._witness is not None:
            self._witness.see_events(section)
        if population in self._outputs:
            self.answers.take(section)

    def _observe(self, section: Section) -> Section:
        """Let the readout observe what is probed of a section; return the section with its counts alone."""
        observe, fields = getattr(self._readout, "observe", None), self.counts.probes(section)
        if observe is not None:
            observe(section.position, section.population, fields)
        if self._saved is not None:
            self._saved.observe(section, fields)
        return section._replace(ledger=self.counts.rows(section).tobytes())
