"""A known-good render: a small portrait and a second of speech, and what its frames should look like."""
