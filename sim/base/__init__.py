"""What everything stands on: errors, files, processes, memory, statistics. Knows nothing of nets."""
