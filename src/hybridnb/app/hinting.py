"""The size hint wired to the house: its training data from the panel, its view of a day."""

from __future__ import annotations
