"""Benchmarks: they print what was measured, side by side in one run; nothing here can fail."""
