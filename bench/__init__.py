"""Benchmarks: one table, every ratio from one run, outputs compared in the same run."""
