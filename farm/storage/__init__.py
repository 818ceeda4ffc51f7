"""Objects in S3-compatible storage: every key in one place, boto3 behind five verbs."""
