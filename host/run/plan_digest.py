"""A hash over a network and its placement: what is stored of a run goes on with the same ones alone."""

from __future__ import annotations

import hashlib
import json

from host.mapping.placement import Placement
from host.run.offline import network_sha256


def plan_sha256(placement: Placement) -> str:
    """Return a hash over the network, and what each PE keeps of it."""
    request = placement.request
    where = [[placed.name, [[part.population, part.units.tolist()] for part in placed.share]] for placed in placement.pes]
    facts = [network_sha256(placement.network), request.format, request.lanes, vars(request.size), where]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
