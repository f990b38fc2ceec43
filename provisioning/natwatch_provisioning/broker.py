"""The configuration of the broker, Mosquitto 2: mutual TLS, and who may use which topic.

A client's name is its certificate's CN; nobody gets in without one. A device writes under its
own ``up/`` and reads its own ``down/``, the collector the reverse for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from natwatch_provisioning.authority import Identity

# Operators' requirements open UDP only, so 443, which firewalls let out, stands beside 8883.
DEVICE_PORTS = (8883, 443)
PACKET_BYTES = 2 * 65536

ACCESS = """\
# %u is the CN of the client's certificate.
pattern write natwatch/%u/up/#
pattern read natwatch/%u/down/#

user collector
topic read natwatch/+/up/#
topic write natwatch/+/down/#

user noc
topic read natwatch/+/up/#
"""

_GENERAL = """\
per_listener_settings false
allow_anonymous false
acl_file {access}
# The devices' spools and the collector's database are the state; the broker keeps nothing.
persistence false
retain_available false
# Whoever sends more is cut off before the broker has reserved memory for it, and named in the log;
# message_size_limit would drop it without a word. Twice what a report may have: one that is a
# little too long reaches the collector, which tells whose it is.
max_packet_size {packet_bytes}
# A collector that lags gets more rope than the default 1000; past it, devices send again.
max_queued_messages 10000
# Without it TLS hand-shakes are 18 times slower (Nagle and delayed ACK wait for each other).
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
log_type notice
"""

_LISTENER = """
listener {port}{address}
cafile {ca}
certfile {certificate}
keyfile {key}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
"""

# A client id that is already connected throws its holder out: with this, a stolen device
# can throw out nobody but itself.
_DEVICES_ONLY = "use_username_as_clientid true\n"


def configuration(
    ca: Path,
    server: Identity,
    access: Path,
    *,
    address: str | None = None,
    device_ports: Sequence[int] = DEVICE_PORTS,
    service_ports: Sequence[int] = (),
    user: str | None = None,
) -> str:
    """The text of ``mosquitto.conf``; *access* is where the ACCESS text was written.

    *address* binds every listener to one address (default: all). On *service_ports* several
    clients may share one certificate, as several collectors do; on *device_ports* a second
    one replaces the first. *user*: whom Mosquitto becomes when root starts it (default: user
    ``mosquitto``, who must be able to read the key, since 2.0 reads it after the change).
    In a user namespace where root is the only user, give "root".
    """
    parts = [_GENERAL.format(access=access, packet_bytes=PACKET_BYTES)]
    if user is not None:
        parts.append(f"user {user}\n")
    for ports, extra in ((device_ports, _DEVICES_ONLY), (service_ports, "")):
        for port in ports:
            listener = _LISTENER.format(
                port=port,
                address=f" {address}" if address else "",
                ca=ca,
                certificate=server.certificate,
                key=server.key,
            )
            parts.append(listener + extra)
    return "".join(parts)


def write_configuration(
    folder: Path,
    ca: Path,
    server: Identity,
    *,
    address: str | None = None,
    device_ports: Sequence[int] = DEVICE_PORTS,
    service_ports: Sequence[int] = (),
    user: str | None = None,
) -> Path:
    """Writes ``access`` and ``mosquitto.conf`` into *folder*; start: ``mosquitto -c`` the result.

    The arguments are those of configuration(). Files of an earlier call are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access = folder / "access"
    access.write_text(ACCESS)
    path = folder / "mosquitto.conf"
    text = configuration(
        ca,
        server,
        access,
        address=address,
        device_ports=device_ports,
        service_ports=service_ports,
        user=user,
    )
    path.write_text(text)
    return path
