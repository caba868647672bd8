"""From a network to shards on named PEs, and the routes between them."""
