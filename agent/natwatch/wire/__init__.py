"""Bytes to values and back. No I/O and no clock: every function here is pure."""
