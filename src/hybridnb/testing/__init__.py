"""Fakes, loopback servers and conformance checks, for anyone's tests."""
