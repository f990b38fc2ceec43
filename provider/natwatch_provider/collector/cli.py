"""natwatch-collector: stores what the probes report, and raises an alert when a NAT shrinks."""

import argparse
import logging
import signal
import ssl
import sys
import threading
import time

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from natwatch_provider.store.database import Database, what_it_said

from . import profile
from .counts import Counts
from .detect import DAY
from .judge import Rules
from .mqtt import MqttSource
from .pipeline import Pipeline

log = logging.getLogger("natwatch.collector")

EXAMPLES = """\
examples:
  natwatch-collector --database sqlite:////var/lib/natwatch/natwatch.db \\
      --broker mqtt.example:8883 --ca ca.pem --certificate collector.pem --key collector.key
  natwatch-collector --database postgresql:///natwatch --broker 127.0.0.1:1883

One line a happening goes to stderr. An alert's lines begin with ALERT, its number, and
RAISED, CHANGED or CLEARED.
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    try:
        database = Database(options.database)
        if not database.folder_exists():
            raise ValueError(
                f"--database: expected a file in a folder, found no such folder for {database}"
            )
        host, port = _endpoint(options.broker)
        tls = _tls(options.ca, options.certificate, options.key)
        chosen = profile.load(options.profile) if options.profile else profile.Profile()
    except ValueError as error:
        print(f"natwatch-collector: {error}", file=sys.stderr)
        return 2
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    counts = Counts()
    source = MqttSource(host, port, tls, counts)
    rules = Rules(chosen.keepalive_s, options.baseline_days * DAY)
    pipeline = Pipeline(database, source, rules, counts, stopping)
    try:
        if pipeline.prepare():
            log.warning("database %s is ready", database)
            source.start()
            pipeline.run()
            source.stop()
    except (SQLAlchemyError, CommandError) as error:  # that no waiting can mend
        print(f"natwatch-collector: {_cannot_use(database, error)}", file=sys.stderr)
        return 1
    finally:
        database.close()
    log.warning("stopped: %s", counts.summary() or "nothing received")
    return 0


def _cannot_use(database: Database, error: Exception) -> str:
    """Why the database is not for us: no database at all, or one of a newer natwatch."""
    return (
        f"database {database}: expected one of natwatch, of this version or an older one, "
        f"found: {what_it_said(error)}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="natwatch-collector",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--database",
        required=True,
        metavar="URL",
        help="sqlite:///FILE or postgresql://…; its schema is upgraded at the start",
    )
    parser.add_argument("--broker", required=True, metavar="HOST:PORT", help="the MQTT broker")
    parser.add_argument("--ca", metavar="FILE", help="CA of the broker's certificate: use TLS")
    parser.add_argument("--certificate", metavar="FILE", help="our own, for the broker")
    parser.add_argument("--key", metavar="FILE", help="the private key of --certificate")
    parser.add_argument("--profile", metavar="FILE", help="the provider profile, JSON")
    parser.add_argument(
        "--baseline-days",
        type=_days,
        default=14.0,
        metavar="DAYS",
        help="what a full baseline covers (14); 0: the latest 21 measurements",
    )
    return parser


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 90:
        raise argparse.ArgumentTypeError(f"expected 0 to 90 days, found {text!r}")
    return days


def _endpoint(text: str) -> tuple[str, int]:
    """(host, port) of ``host:port`` or ``[v6]:port``. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"--broker: expected HOST:PORT such as mqtt.example:8883, found {text!r}")
    return bare, int(port)


def _tls(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    """What verifies the broker, None where no TLS is wanted. Raises ValueError."""
    if (certificate is None) != (key is None):
        raise ValueError("--certificate and --key: expected both or neither, found one of them")
    if ca is None:
        if certificate is not None:
            raise ValueError("--certificate: expected --ca beside it, found none")
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"--ca {ca}: expected CA certificates in PEM, found: {error}") from None
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ValueError(
                f"--certificate {certificate}, --key {key}: expected a certificate and its "
                f"private key in PEM, found: {error}"
            ) from None
    return context


def _no_password() -> str:
    """Without this, OpenSSL would ask the terminal for the password of an encrypted key."""
    raise ValueError("a key that is encrypted; a service has nobody to ask for its password")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


if __name__ == "__main__":
    sys.exit(main())
