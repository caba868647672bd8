"""Trains a small convolutional network on handwritten digits, and brings it to int8."""
