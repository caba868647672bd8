"""Chips on Dask workers: the same run, spread over several machines."""
