"""The only room that knows every other: it wires them, and nothing here is imported by them."""
