"""Benchmarks: they assert the amount of work done and print ratios measured side by side in one run."""
