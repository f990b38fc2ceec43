"""A package proper: pystun3 installs one of this name, which would hide ours otherwise."""
