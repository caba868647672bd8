"""Trains a transformer language model on the text and words of the EGRU's, and brings it to int8 for the MAC arrays."""
