"""Runs and checks nets. Needs neither torch nor SLAYER."""
