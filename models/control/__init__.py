"""Control: environments that a network acts in, and how an observation becomes events."""
