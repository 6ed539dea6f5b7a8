"""Does a net fit a board, and what does a sample cost."""
