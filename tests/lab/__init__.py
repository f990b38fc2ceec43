"""Network namespaces as homes, NATs and a provider: what tests, demo and benchmarks run in.

    from tests.lab import HOME, Lab, container

    def scenario():
        with Lab(HOME) as lab:
            lab.router.set_timers(udp=5, stream=12)
            lab.run("phone", ["ping", "-c1", "109.69.176.130"])

    sys.exit(container.run(scenario))

Under pytest, mark the test: ``@pytest.mark.lab``; its body then runs in a container.
"""

from tests.lab.lab import Lab
from tests.lab.nat import R2, Nat
from tests.lab.topology import (
    ADAPTER,
    BROKER,
    CARRIER,
    CARRIER_ADAPTER,
    CARRIER_USERNAT,
    ELSEWHERE,
    HOME,
    HOME_ADAPTER,
    HOME_USERNAT,
    PHONE,
    PUBLIC,
    PUBLIC_POOL,
    REFLECTOR_A,
    REFLECTOR_B,
    REGISTRAR,
    Link,
    Topology,
)
from tests.lab.usernat import UserNat

__all__ = [
    "ADAPTER",
    "BROKER",
    "CARRIER",
    "CARRIER_ADAPTER",
    "CARRIER_USERNAT",
    "ELSEWHERE",
    "HOME",
    "HOME_ADAPTER",
    "HOME_USERNAT",
    "PHONE",
    "PUBLIC",
    "PUBLIC_POOL",
    "R2",
    "REFLECTOR_A",
    "REFLECTOR_B",
    "REGISTRAR",
    "Lab",
    "Link",
    "Nat",
    "Topology",
    "UserNat",
]
