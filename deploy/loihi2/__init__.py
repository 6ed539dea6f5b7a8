"""Runs on a real board, as far as public code says how."""
