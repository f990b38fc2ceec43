"""A simulated month of one device: the whole daemon, its line, and the collector's detection."""
