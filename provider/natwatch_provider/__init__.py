"""The provider's side of natwatch: the reflector, the collector, the store and the NOC."""
