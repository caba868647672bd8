"""Identities: what an endpoint shows its router, so that nobody else takes its name.

An identity is a proof and the name. The proof is a keyed hash of the name under the run's secret, which whoever starts a
run makes for it. Routers hold the secret; a PE and the host get their own identity at their start, and can show no other. An
identity is ZeroMQ's routing id: any peer that speaks ZeroMQ joins with the run's secret alone.
"""

import hashlib
import hmac
import secrets

STRANGER = "stranger"  # the name of whoever shows no identity of this run
PROOF_BYTES = 16
_SECRET_BYTES = 32
_MOST_NAME_BYTES = 64


def new_secret() -> bytes:
    """Return a fresh secret for the routers of a run."""
    return secrets.token_bytes(_SECRET_BYTES)


def identity_of(name: str, secret: bytes) -> bytes:
    """Return the identity of the endpoint `name`, its ZeroMQ routing id."""
    return _proof_of(name.encode(), secret) + name.encode()


def name_in(identity: bytes, secret: bytes) -> str:
    """Return the name of the endpoint that an identity proves; STRANGER where it proves none."""
    proof, name = identity[:PROOF_BYTES], identity[PROOF_BYTES:]
    if not 0 < len(name) <= _MOST_NAME_BYTES or not hmac.compare_digest(proof, _proof_of(name, secret)):
        return STRANGER
    return name.decode()


def _proof_of(name: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(name, key=secret, digest_size=PROOF_BYTES).digest()
