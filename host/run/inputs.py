"""`Inputs`: the positions of a source, each noted by whoever must know it; after a restart, first those that are fed once more."""

from __future__ import annotations

from collections import deque

from host.mapping.placement import Placement
from host.run.late_feed import LateFeed
from host.run.recorder import Recorder
from host.run.recovery import RestartLog
from host.run.verify import Witness
from host.workloads.contract import Feed, Source
from host.workloads.section_events import all_sending


class Inputs:
    """Hands out feeds. `witness` sees what the source gives, `recorder` and `replay` what is fed."""

    def __init__(
        self, placement: Placement, source: Source, recorder: Recorder, witness: Witness | None, replay: RestartLog | None
    ) -> None:
        self._inputs, self._sending = placement.network.inputs, all_sending(placement.network, placement.request.lanes)
        self._source, self._recorder, self._witness, self._replay = source, recorder, witness, replay
        self.late_feed = LateFeed(placement)
        self.begin()

    def begin(self) -> None:
        """Begin with new routers and PEs."""
        self._again = deque(self._replay.feeds() if self._replay else ())  # what has been fed before, with its tick

    def exhausted(self) -> bool:
        """Tell whether every position has been handed out."""
        return not self._again and self._source.exhausted()

    def is_early(self, tick: int) -> bool:
        """Tell whether a position that is fed once more came later than at `tick`, so that it waits now, too."""
        return bool(self._again) and self._again[0][0] > tick

    @property
    def next_position(self) -> int:
        """The number of the next position, of a run that can be restarted."""
        assert self._replay is not None
        return self._again[0][1].position if self._again else self._replay.next_position

    def next(self, tick: int) -> Feed | None:
        """Return the next position's input, to be fed at `tick`; None while the source has none."""
        if self._again:
            repeated = self._again.popleft()[1]
            assert self._replay is not None
            self._replay.add_again(repeated, tick)
            return repeated
        given = self._source.next()
        if given is None:
            return None
        feed = self.late_feed.completed(given)
        self._recorder.add_input(*(self._sending[n].count_events(*feed.events.get(n, (b"", b""))) for n in self._inputs))
        if self._witness is not None:
            self._witness.see_input(given)
        if self._replay is not None:
            self._replay.add_input(feed, tick)
        return feed
