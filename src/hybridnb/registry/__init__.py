"""What was run, and what it made: manifests and sealed artefacts."""
