"""The only place where farm meets engine: Celery workers that plan, render and stitch."""
