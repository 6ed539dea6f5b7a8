"""Comparing executors: random nets, and what led to a difference."""
