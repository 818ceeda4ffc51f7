"""The CPU renderer: a photo whose mouth follows the speech."""
