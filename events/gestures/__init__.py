"""Synthetic gestures: drawn people before a simulated event camera."""
