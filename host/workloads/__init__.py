"""What can run on the chip: one folder a workload, found by its name."""
