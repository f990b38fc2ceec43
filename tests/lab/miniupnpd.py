"""A real UPnP IGD, NAT-PMP and PCP peer in the lab: miniupnpd, which many home routers run.

Debian's (2.3.1) tells its outer interface's address only where that is public. Behind a private,
shared or documentation address it calls forwarding impossible: NAT-PMP says NETWORK_FAILURE, PCP
NO_RESOURCES, UPnP 0.0.0.0; its `ext_ip` takes no such address either, and it does not know the
`ext_allow_private_ipv4` of later ones. With `ext_perform_stun` it asks a STUN server first: behind
a NAT that filters it then falls silent, behind one that does not it tells *that* NAT's address.
"""

from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.nat import Nat

_PROGRAM = "/usr/sbin/miniupnpd"
READY = "Listening for NAT-PMP/PCP traffic"
MANUFACTURER, MODEL = "ACME Networks", "Router X1"

# What miniupnpd's own nft_init.sh makes, without a policy: the lab's filter decides.
_CHAINS = """
table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain forward { type filter hook forward priority 0; jump miniupnpd; }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
}
"""


def write(folder: Path, lab: Lab, nat: Nat) -> list[str]:
    """Prepare *nat*'s host and write the configuration into *folder*; the argv that runs it."""
    folder.mkdir(exist_ok=True)
    lab.run(nat.host, ["nft", "-f", "-"], given=_CHAINS)
    path = folder / "miniupnpd.conf"
    path.write_text(
        f"ext_ifname={nat.outer}\n"
        f"listening_ip={nat.inner}\n"
        "ipv6_disable=yes\n"
        "enable_natpmp=yes\n"
        "secure_mode=yes\n"
        "uuid=00000000-0000-4000-8000-000000000001\n"
        f"manufacturer_name={MANUFACTURER}\n"
        f"model_name={MODEL}\n"
        "allow 0-65535 0.0.0.0/0 0-65535\n"
    )
    return [_PROGRAM, "-d", "-f", str(path), "-P", str(folder / "pid")]
