"""Fuzzing of everything that reads what others wrote. One file a parser; each has

one(data)  reads *data* as the parser does, and raises where the parser does what it must not:
           any exception but its own, or a value that breaks what its docstring promises
SEEDS      good inputs, from which bad ones are made
WORDS      pieces that mean something to it

``make fuzz`` runs them with atheris (coverage-guided) where it is installed, else with blind.py;
what failed once stays in vectors/, which CI tries together with some thousand blind inputs each.
Commands have no parser yet: the link hands on what comes to down/command, and nobody takes it.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

PARSERS = (
    *("stun", "sip", "sip_client", "sip_options", "digest", "media", "mqtt", "telemetry"),
    *("nat_pmp", "pcp", "ssdp", "upnp", "dns", "probe", "reflector", "collector"),
    *("uci", "openwrt", "ruleset"),
)
VECTORS = Path(__file__).parent / "vectors"


def harness(name: str) -> ModuleType:
    return import_module(f"tests.fuzz.{name}")


def vectors(name: str) -> list[Path]:
    """The files of inputs that once made *name* fail."""
    return sorted(path for path in (VECTORS / name).glob("*") if path.is_file())
