"""Results into findings and advice: pure functions, the same on the device and at the provider."""
