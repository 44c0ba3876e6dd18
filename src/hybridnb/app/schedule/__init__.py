"""The schedule: what should have run by now, minus what did."""
