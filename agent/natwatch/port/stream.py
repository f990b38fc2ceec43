"""One outgoing TCP connection, with TLS if the endpoint has a CA; the same on both interpreters.

Nothing here waits: every call does what can be done now. Wait with poll() for interest() on
fileno(), then call progress() until it says True, then read() until it says None (TLS holds
bytes back that poll() does not see) and write() what is left. Every end is a StreamClosed
with the reason as a sentence for the log.

TLS always verifies: the chain against the endpoint's CA, the dates, and the server's name
(tried on both interpreters with each of the four wrong). A box that wakes in 1970 finds every
certificate not valid yet; where the reflector has told the time, the dates are checked against
that (CPython: OpenSSL can be told to leave them to us; mbedTLS cannot). What cannot be cut in
pieces is the arithmetic of the hand-shake: some milliseconds on a PC, up to a few hundred on a
small router.
"""

import errno
import select
import socket
import sys

_MICROPYTHON = sys.implementation.name == "micropython"

# How much read() takes at once. A TLS record holds at most 16 KiB, a command far less.
_CHUNK = 4096

# MicroPython's errno module lacks these three, and MIPS, which many OpenWrt routers are, numbers
# its errors in its own way.
_MIPS = errno.EINPROGRESS == 150
_EISCONN = 133 if _MIPS else 106
_ENETUNREACH = 128 if _MIPS else 101
_EPIPE = 32
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN)

_CUT = "the connection was cut by the other side"
_SENTENCES = {
    _ENETUNREACH: "network unreachable: no route to it from here",
    errno.ETIMEDOUT: "no answer: a firewall or the network swallows the packets",
    errno.ECONNREFUSED: "connection refused: nothing listens on that port",
    errno.EHOSTUNREACH: "host unreachable: no route to it from here",
    _EPIPE: _CUT,
    errno.ECONNABORTED: _CUT,
    errno.ECONNRESET: _CUT,
    errno.ENOTCONN: _CUT,
}

# What OpenSSL (CPython) and mbedTLS (MicroPython) call the same trouble: the first fragment
# found in their text decides.
_VERDICTS = (
    ("has expired", "its certificate has expired, or the clock of this device is wrong"),
    ("not yet valid", "its certificate is not valid yet: is the clock of this device set?"),
    ("starts in the future", "its certificate is not valid yet: is the clock of this device set?"),
    ("ostname mismatch", "its certificate is for another name than %s"),
    ("IP address mismatch", "its certificate is for another name than %s"),
    ("does not match with the expected CN", "its certificate is for another name than %s"),
    ("issuer certificate", "its certificate is not from the authority that we trust"),
    ("self-signed", "its certificate is not from the authority that we trust"),
    ("self signed", "its certificate is not from the authority that we trust"),
    ("signature failure", "its certificate is not from the authority that we trust"),
    ("not correctly signed", "its certificate is not from the authority that we trust"),
    ("EOF occurred", _CUT),
    ("alert", "it refused our certificate"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS on that port"),
)
# mbedTLS numbers its errors below every errno; builds without texts give the number alone.
_MBEDTLS_VERDICTS = {
    -0x2700: "its certificate was not accepted",
    -0x7780: "it refused our certificate",
    -0x7200: "it does not speak TLS on that port",
    -0x7280: _CUT,
    -0x7100: "it does not speak TLS on that port",
}
# TLS 1.3 servers send tickets at any time; mbedTLS reports one as if it were an error.
_MBEDTLS_TICKET = -0x7B00


# X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h), for which Python has no name.
_NO_CHECK_TIME = 0x200000


class StreamClosed(Exception):
    """The connection could not be made or has ended; args[0] is the reason, one sentence."""


class Endpoint:
    """Where to connect, and how to prove both ends.

    *host* is a numeric address (a name would block the loop while it is looked up), *server_name*
    the name that the server's certificate must carry (default: *host*). *ca*, *certificate* and
    *key* are paths of PEM files, the last two given together or not at all; without *ca* the
    connection is plain TCP. ``time()`` gives seconds since 1970 where the system's clock is known
    to be wrong, else None.
    """

    def __init__(self, host, port, server_name=None, ca=None, certificate=None, key=None):
        self.host = host
        self.port = port
        self.server_name = server_name or host
        self.ca = ca
        self.certificate = certificate
        self.key = key
        self.time = lambda: None

    def __str__(self):
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)


class Stream:
    """A connection to *endpoint*, begun at once. Raises StreamClosed."""

    def __init__(self, endpoint):
        self._endpoint = endpoint
        self._connected = False
        self._shaken = endpoint.ca is None
        self._heard = False  # has the other side ever sent data?
        self._stalled = False  # the last write was cut short: poll for room
        self._time = None if _MICROPYTHON else endpoint.time()
        self._context = _tls_context(endpoint, self._time) if endpoint.ca else None
        self._tcp = self._socket = None  # the descriptor; what is read and written: TLS on top
        try:
            family, self._address = _numeric(endpoint)
            self._tcp = self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._tcp.setblocking(False)
        except OSError as error:  # no descriptor is left
            self._fail(error)
        self._connect()

    def fileno(self):
        """The descriptor to poll, -1 when closed."""
        return self._tcp.fileno() if self._tcp else -1

    def interest(self):
        """What to poll for: a mask of select.POLLIN and select.POLLOUT."""
        if not self._connected:
            return select.POLLOUT
        # While TLS shakes hands the stall is for the other side's bytes, and a poll for
        # room, of which there is plenty, would spin.
        return select.POLLIN | (select.POLLOUT if self._stalled and self._shaken else 0)

    def progress(self):
        """Whether data may pass; call it again after each wake-up until it does."""
        if not self._connected and not self._connect():
            return False
        if not self._shaken and not _MICROPYTHON:
            try:
                self._socket.do_handshake()
            except (OSError, ValueError) as error:
                return self._trouble(error) or False
            if self._time is not None:
                self._check_dates()
            self._shaken = True
        # MicroPython shakes hands inside read() and write(), and has no call to ask for it.
        return True

    def read(self):
        """The bytes that have arrived, None if there are none now."""
        try:
            # MicroPython's TLS object has no recv(), and CPython's socket no read().
            receive = getattr(self._socket, "recv", None) or self._socket.read
            data = receive(_CHUNK)
        except (OSError, ValueError) as error:
            return self._trouble(error)
        if data is None:
            return None
        if not data:
            self._end(_CUT)
        self._shaken = self._heard = True
        return data

    def write(self, data):
        """How many of the bytes *data* were taken; offer the rest, unchanged, after a wake-up."""
        try:
            count = (self._socket.write if _MICROPYTHON else self._socket.send)(data)
        except (OSError, ValueError) as error:
            count = self._trouble(error)
        if count:
            self._shaken = True
        self._stalled = (count or 0) < len(data)
        return count or 0

    def close(self):
        """Closes the descriptor; a second call does nothing."""
        for layer in (self._socket, self._tcp):
            try:
                if layer:
                    layer.close()
            except (OSError, ValueError):
                pass  # MicroPython: TLS's farewell to a peer that has gone
        self._socket = self._tcp = None

    def _connect(self):
        # Without getsockopt (MicroPython) a second connect() tells how the first one went.
        try:
            self._tcp.connect(self._address)
        except OSError as error:
            if error.errno in _UNDER_WAY:
                return False
            if error.errno != _EISCONN:
                self._fail(error)
        self._connected = True
        if self._context:
            self._wrap()
        return True

    def _wrap(self):
        try:
            self._socket = self._context.wrap_socket(
                self._tcp,
                server_hostname=self._endpoint.server_name,
                do_handshake_on_connect=False,
            )
        except (OSError, ValueError, TypeError) as error:  # CPython: TypeError for a name with \0
            self._fail(error)
        if not _MICROPYTHON:
            self._tcp = self._socket  # wrap_socket() took the descriptor over

    def _check_dates(self):
        """The dates that OpenSSL was told to leave alone: the server's, and its authority's."""
        own = self._socket.getpeercert()
        known = [one for one in self._context.get_ca_certs() if one["subject"] == own["issuer"]]
        for troubles in ([_dates(own, self._time)], [_dates(one, self._time) for one in known]):
            # An authority that renewed its certificate is there twice: one of them will do.
            if troubles and None not in troubles:
                self._end(troubles[0])

    def _trouble(self, error):
        """None if *error* only means "not now"; raises StreamClosed for anything else."""
        if not _not_now(error):
            self._fail(error)

    def _fail(self, error):
        self._end(_sentence(error, self._endpoint.server_name))

    def _end(self, sentence):
        self.close()
        if sentence == _CUT and self._endpoint.ca and not self._heard:
            sentence = "it cut the connection at the TLS hand-shake: it may refuse our certificate"
        raise StreamClosed(sentence)


def _not_now(error):
    """Whether *error* only means that another poll() is needed first."""
    if not isinstance(error, OSError):
        return False
    return error.errno in (errno.EAGAIN, _MBEDTLS_TICKET) or type(error).__name__ in (
        "SSLWantReadError",
        "SSLWantWriteError",
    )


def _sentence(error, server_name):
    number = error.errno if isinstance(error, OSError) else None
    if number in _MBEDTLS_VERDICTS and len(error.args) == 1:
        return _MBEDTLS_VERDICTS[number]
    text = str(error)
    for fragment, verdict in _VERDICTS:
        if fragment in text:
            return verdict.replace("%s", str(server_name))
    if number in _MBEDTLS_VERDICTS:
        return _MBEDTLS_VERDICTS[number]
    if number in _SENTENCES:
        return _SENTENCES[number]
    return "the connection failed: %s" % text.strip()


def _numeric(endpoint):
    """(family, socket address) of a numeric host; never a look-up, which would block."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, endpoint.host)
        except (OSError, ValueError):
            continue
        found = socket.getaddrinfo(endpoint.host, endpoint.port, family, socket.SOCK_STREAM)
        return family, found[0][-1]
    raise StreamClosed(
        "expected the broker's numeric address, found %r; set the address, and the name as "
        "server_name" % endpoint.host
    )


def _dates(certificate, time):
    """What is wrong with the dates of *certificate*, a sentence; None: nothing."""
    import ssl

    if time < ssl.cert_time_to_seconds(certificate["notBefore"]):
        return "its certificate is not valid yet, by the reflector's time"
    if time > ssl.cert_time_to_seconds(certificate["notAfter"]):
        return "its certificate has expired, by the reflector's time"
    return None


def _tls_context(endpoint, time):
    paths = (endpoint.ca, endpoint.certificate, endpoint.key)
    kinds = ("CERTIFICATE", "CERTIFICATE", "PRIVATE KEY")
    texts = [_pem(path, kind) if path else None for path, kind in zip(paths, kinds)]
    try:
        if _MICROPYTHON:
            return _mbedtls_context(texts)
        context = _openssl_context(paths)
        if time is not None:
            context.verify_flags |= _NO_CHECK_TIME
        return context
    except ImportError:
        raise StreamClosed("TLS is wanted, but this %s has none" % sys.implementation.name)
    except (OSError, ValueError) as error:
        raise StreamClosed(
            "expected PEM files %s, %s and %s that belong together, found: %s" % (paths + (error,))
        )


def _pem(path, kind):
    """The bytes of the file at *path* if it can hold a *kind*. Read before TLS reads it,
    because neither library tells which file is the bad one, or why."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # MicroPython has no strerror
        raise StreamClosed("%s cannot be read: %s" % (path, reason))
    # OpenSSL would ask on the terminal for the pass phrase of anything, and wait for ever.
    if b"ENCRYPTED" in text:
        raise StreamClosed(
            "%s is encrypted, and nobody is here to type its pass phrase: store it without one"
            % path
        )
    if ("%s-----" % kind).encode() not in text:
        raise StreamClosed("%s: expected a %s in PEM, found none" % (path, kind))
    return text


def _openssl_context(paths):
    import ssl  # here, because it costs 5 MB, and a plain connection needs none of it

    ca, certificate, key = paths
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain, dates and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca)
    if certificate:
        context.load_cert_chain(certificate, key, password=_no_password)
    return context


def _no_password():
    # The second lock, should the file have changed since _pem() read it.
    raise ValueError("an encrypted key")


def _mbedtls_context(texts):
    try:
        import tls
    except ImportError:
        import ssl as tls  # before 1.23 the same C module had this name

    ca, certificate, key = texts
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED  # not the default everywhere
    context.load_verify_locations(ca)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
