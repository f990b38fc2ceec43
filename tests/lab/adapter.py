"""The customer's SIP adapter: baresip without sound, its configuration in a folder.

baresip names itself in every answer: ``Server: baresip …``. It knows Digest with MD5 only.
"""

from pathlib import Path
from typing import NamedTuple

from tests.lab.lab import LabError

PROGRAM = "baresip"
READY = "baresip is ready"
_NOBODY = "adapter"  # whom it is called where it has no account


class Settings(NamedTuple):
    """*user* and *password*: None where it does not register. *expires*: seconds."""

    port: int
    registrar: str
    user: str | None
    password: str | None
    expires: int
    keepalive: bool


def write(folder: Path, settings: Settings) -> list[str]:
    """(Over)write the configuration in *folder*; the arguments that start baresip with it."""
    folder.mkdir(exist_ok=True)
    # No module for sound or pictures, none with a listener of its own, none for a terminal.
    (folder / "config").write_text(
        f"sip_listen 0.0.0.0:{settings.port}\n"
        f"module_path {_modules()}\n"
        "module_tmp uuid.so\n"  # before the account, whose keepalive needs it
        "module_tmp account.so\n"
    )
    (folder / "accounts").write_text(f"{_account(settings)}\n")
    (folder / "contacts").write_text("")  # else it writes an example of its own
    return [PROGRAM, "-f", str(folder)]


def _account(settings: Settings) -> str:
    if settings.user is None:
        return f"<sip:{_NOBODY}@{settings.registrar}>;regint=0"
    account = (
        f"<sip:{settings.user}@{settings.registrar}>;regint={settings.expires}"
        f";auth_user={settings.user};auth_pass={settings.password}"
    )
    if settings.keepalive:  # RFC 5626, 4.4.2; it registers only through an outbound proxy then
        account += f';sipnat=outbound;outbound="sip:{settings.registrar}"'
    return account


def _modules() -> Path:
    """Where Debian keeps baresip's modules; it does not look there by itself."""
    for pattern in ("lib/baresip/modules", "lib/*/baresip/modules"):
        for found in Path("/usr").glob(pattern):
            return found
    raise LabError("expected baresip's modules below /usr/lib, found none; run make setup")
