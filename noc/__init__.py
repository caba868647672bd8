"""How events travel: the chip, its packets and routers, and the transports that carry them, whatever is computed."""
