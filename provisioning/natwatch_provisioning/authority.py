"""The provider's certificate authority: one EC P-256 key, and the certificates that it signs.

Everything that meets at the broker shows a certificate of this authority: the broker itself
(with its names and addresses), each device (CN = device id) and the provider's services. The
broker takes the CN for the user's name, so a CN decides which topics its owner may use.

    authority = Authority.create(Path("authority"), "Provider CA")
    authority.issue_server(["mqtt.example.net", "192.0.2.1"], Path("broker"))
    authority.issue_device("box-1", Path("devices"))
    authority.issue_service("collector", Path("collector"))
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from natwatch.wire.auth import valid_device_id

# A device with one of these names would be let in as the provider's own service.
SERVICES = ("collector", "noc")

# A box keeps its certificate until its flash dies; nobody visits a customer to renew one.
DAYS = 3650
# Clocks of freshly booted boxes lag; a certificate of today must hold for them too.
BACKDATED = timedelta(days=1)


class AuthorityError(Exception):
    """One sentence: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Identity:
    """Where a certificate and its private key were written, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """The authority that lives in *folder* as ``ca.pem`` and ``ca.key`` (mode 0600)."""

    def __init__(
        self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.certificate = folder / "ca.pem"
        self._issuer = certificate
        self._key = key

    @classmethod
    def create(cls, folder: Path, name: str) -> Authority:
        """A new authority called *name*. Raises AuthorityError if the folder has one already."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _common_name(name)
        start = datetime.now(UTC) - BACKDATED
        builder = _builder(subject, subject, key.public_key(), start, start + timedelta(2 * DAYS))
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_pair(folder, "ca", certificate, key)
        return cls(folder, certificate, key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The authority that create() wrote. Raises AuthorityError if it cannot be read."""
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except OSError as error:
            raise AuthorityError(
                f"{error.filename}: expected an authority's file, found: {error.strerror}; "
                "create the authority first"
            ) from error
        except (ValueError, TypeError) as error:
            raise AuthorityError(
                f"{folder}: expected ca.pem and an unencrypted ca.key in PEM, found other bytes"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"{folder}/ca.key: expected an EC key, found another kind")
        if key.public_key() != certificate.public_key():
            raise AuthorityError(f"{folder}: ca.key does not belong to ca.pem; restore the pair")
        return cls(folder, certificate, key)

    def issue_server(
        self,
        names: list[str],
        folder: Path,
        *,
        start: datetime | None = None,
        days: int = DAYS,
    ) -> Identity:
        """``server.pem`` and ``server.key`` for a server reached as any of *names*.

        A name that reads as an address becomes an address entry: clients compare it as one.
        """
        if not names:
            raise AuthorityError("a server needs at least one DNS name or address, found none")
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        return self._issue(
            folder, "server", names[0], ExtendedKeyUsageOID.SERVER_AUTH, alternatives, start, days
        )

    def issue_device(self, device: str, folder: Path, *, days: int = DAYS) -> Identity:
        """``DEVICE.pem`` and ``DEVICE.key`` for one device."""
        if not valid_device_id(device):
            raise AuthorityError(
                "expected a device id of 1 to 64 characters of A-Z a-z 0-9 - _, "
                f"found {device!r}; choose another"
            )
        if device in SERVICES:
            raise AuthorityError(
                f"expected a device id, found {device!r}, which names a service of the provider; "
                "choose another"
            )
        return self._issue(
            folder, device, device, ExtendedKeyUsageOID.CLIENT_AUTH, None, None, days
        )

    def issue_service(self, service: str, folder: Path, *, days: int = DAYS) -> Identity:
        """``SERVICE.pem`` and ``SERVICE.key`` for one of the provider's SERVICES."""
        if service not in SERVICES:
            raise AuthorityError(f"expected one of {', '.join(SERVICES)}, found {service!r}")
        return self._issue(
            folder, service, service, ExtendedKeyUsageOID.CLIENT_AUTH, None, None, days
        )

    def _issue(
        self,
        folder: Path,
        stem: str,
        common_name: str,
        purpose: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
        start: datetime | None,
        days: int,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        start = start or datetime.now(UTC) - BACKDATED
        builder = (
            _builder(
                _common_name(common_name),
                self._issuer.subject,
                key.public_key(),
                start,
                start + timedelta(days=days),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return _write_pair(folder, stem, builder.sign(self._key, hashes.SHA256()), key)


def _common_name(name: str) -> x509.Name:
    # RFC 5280 allows 64 characters; a longer server name lives in the alternatives alone.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(
    digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(
    folder: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Identity:
    """Writes both files, the key first and readable by its owner only; never over another."""
    identity = Identity(folder / f"{stem}.pem", folder / f"{stem}.key")
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(identity.key, secret, 0o600)
    _write_new(identity.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return identity


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise AuthorityError(
            f"{path}: expected no file, found one; move it away, it is never overwritten"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
