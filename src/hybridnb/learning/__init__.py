"""Offline makers of model versions: they produce candidates and change no running policy."""
