"""How events travel: the chip, its packets and routers, and the transports that carry them. Nothing here knows what is
computed.
"""
