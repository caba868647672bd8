"""From counts to seconds and joules: pure functions over a run's ledger."""
