"""Jobs and chunks: their states, their books in Redis, and which chunk is next."""
