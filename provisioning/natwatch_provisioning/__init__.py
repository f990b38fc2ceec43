"""Identities of devices and of the provider's own services, and the broker's configuration."""
