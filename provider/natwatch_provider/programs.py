"""The programs' first lines: Ctrl-C while the rest is still being loaded ends them quietly.

What they need takes over a second to import; until then Python would answer with a traceback.
"""

import importlib


def _run(module: str) -> int:
    try:
        return int(importlib.import_module(f"natwatch_provider.{module}").main())
    except KeyboardInterrupt:
        return 130


def reflector() -> int:
    return _run("reflector.cli")


def collector() -> int:
    return _run("collector.cli")


def noc() -> int:
    return _run("noc.cli")
