"""Benchmarks: one table, ratios in one run."""
