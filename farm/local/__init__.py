"""The embedded stack: Redis, an S3 server, workers, the sweeper and Flower on one machine."""
