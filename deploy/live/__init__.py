"""Live inference: streams from files and cameras."""
