"""Asking a model when something is wrong: triggers, quota, calls, and what a reply may change."""
