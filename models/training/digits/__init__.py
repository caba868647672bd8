"""Trains a small convolutional network, or a small vision transformer, on handwritten digits, and brings it to int8."""
