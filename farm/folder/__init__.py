"""The drop folder: an inbox in storage whose pairs and manifests become jobs."""
