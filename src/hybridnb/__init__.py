"""hybridnb: a notebook-native control plane for trading."""

__version__ = "0.1.0"
