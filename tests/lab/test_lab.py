"""The lab does what it says: else every measurement that is tested in it means nothing."""

import socket

import pytest

from tests.lab import HOME, REFLECTOR_A, Lab


def udp_socket(lab: Lab, host: str, address: tuple[str, int] = ("0.0.0.0", 0)) -> socket.socket:
    with lab.on(host):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(address)
    made.settimeout(2)
    return made


@pytest.mark.lab
def test_a_datagram_leaves_the_home_with_the_public_address() -> None:
    with Lab(HOME) as lab:
        server = udp_socket(lab, "provider", (REFLECTOR_A, 3478))
        phone = udp_socket(lab, "phone")
        phone.sendto(b"hello", (REFLECTOR_A, 3478))
        data, (address, _) = server.recvfrom(100)
        assert (data, address) == (b"hello", "203.0.113.9")
