"""What turns the last population's events into an answer."""
