"""Many lessons at once: a manifest checked and submitted, its rows watched, steered and reported."""
