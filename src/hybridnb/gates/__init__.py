"""Rule-based gates: what may trade live. Nothing here asks a language model."""
