"""A processing element: its SRAM, its lifecycle, and the core that runs shards of a network between packets."""
