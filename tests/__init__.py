"""A package proper: pystun3 installs one of this name, which would hide a folder without this file."""
