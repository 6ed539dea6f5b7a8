"""Batches of token streams, and what is done to recordings before they become tokens."""
