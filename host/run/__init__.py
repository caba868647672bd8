"""The host process of one run: it drives the PEs, hashes and verifies events, records counts, reports."""
