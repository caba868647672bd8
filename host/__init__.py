"""The host: maps a network onto the chip, streams its input, reads its output, and starts, watches and stops the processes."""
