"""A package proper: pystun3 installs one of this name too, which would hide a bare folder."""
