"""Webhooks: where one may go, what it says, how it is signed and posted."""
