"""Harmonic retrieval: which few frequencies a snapshot of an array's samples is made of.

In the manner of Andrei et al., "Deep-Unrolling Multidimensional Harmonic Retrieval Algorithms on Neuromorphic Hardware"
(arXiv:2412.04008): a sparse vector on a grid of frequencies, found by a learned and unrolled shrinkage algorithm.
"""
