"""Gestures before an event camera."""
