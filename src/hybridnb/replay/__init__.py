"""The same decision and the same venue over whole histories, in arrays, plain or compiled."""
