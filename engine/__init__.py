"""From a portrait and speech to frames; knows no Celery, Redis or S3."""
