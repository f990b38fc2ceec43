"""Benchmarks: what was measured beside the truth, as tables; exit code 1 if promises are broken."""
