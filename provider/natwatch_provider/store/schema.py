"""The tables. The migrations make them; a test compares the two.

JSON stands in text columns, always written as ASCII: PostgreSQL's own JSON types refuse a NUL
or half a surrogate pair, both of which a broken device may send.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows by itself only where the type is exactly INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")


def _device() -> Column[str]:
    return Column("device", String(64), ForeignKey("device.id"), nullable=False)


device = Table(
    "device",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("boot", String(16)),  # the present boot, null before the first birth or report
    Column("conn", BigInteger, nullable=False),  # of the present birth: an older will loses
    Column("version", String(32)),
    Column("interpreter", String(32)),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    # The interval in use at this customer's; null: the profile's default. Nothing writes it yet:
    # it is for the adapter's setting, once a probe reads or is told that.
    Column("keepalive_s", Double),
)

# What has been received of one boot of one device. Duplicates are decided here and nowhere
# else: a unique index on a table partitioned by time would let a report in twice across a
# month's end.
stream = Table(
    "stream",
    metadata,
    Column("device", String(64), ForeignKey("device.id"), primary_key=True),
    Column("boot", String(16), primary_key=True),
    Column("high", BigInteger, nullable=False),  # the highest seq received
    Column("gaps", Text, nullable=False),  # JSON [[first, last], …]: missing below it
    Column("anchor", Double),  # UTC at mono 0, for reports of an unset clock
    # The same by the first report whose time the reflector confirmed; null: there was none yet.
    Column("clock", Double),
)

report = Table(
    "report",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    _device(),
    Column("boot", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("received", Double, nullable=False),
    Column("time", Double, nullable=False),  # as the device said, or rebuilt
    Column("tq", String(16), nullable=False),  # where from; "rebuilt": boot and mono; "received"
    Column("mono", Double, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("data", Text, nullable=False),
    Index(None, "device", "received"),
    # for the one kind whose history is looked up: one report a day of sixty an hour
    Index(
        "ix_report_layers",
        "device",
        "time",
        sqlite_where=text("kind = 'layers'"),
        postgresql_where=text("kind = 'layers'"),
    ),
)

lifetime = Table(
    "lifetime",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    _device(),
    Column("boot", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),  # with device and boot: its report
    # Two numbers of one boot are independent; one number twice is the same bindings, searched
    # more closely the second time.
    Column("measurement", BigInteger, nullable=False),
    Column("class", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("context", String(160), nullable=False),
    Column("gateway", String(64)),
    Column("public", String(64)),
    Column("measured", Double, nullable=False),
    Column("lo", Double),  # alive at lo; null: unknown
    Column("hi", Double),  # dead at hi; null with a lo: nothing was found dead
    Column("method", String(16), nullable=False),
    Column("reason", String(256)),
    Column("alive", Integer, nullable=False),
    Column("expired", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("bindings", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("period", Double),
    Column("extends", Boolean),  # packets from outside extend it; null: not known, not asked
    Column("difference", Text),  # how real SIP lives otherwise than STUN to the same port
    Index(None, "device", "measured"),
)

# The latest good report of each kind that has no table of its own, by the time it was made: for
# people, who ask how a device is, not how it was.
latest = Table(
    "latest",
    metadata,
    Column("device", String(64), ForeignKey("device.id"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("boot", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("time", Double, nullable=False),
    Column("data", Text, nullable=False),
)

# What detection remembers of one key: its history as JSON (collector.detect), and the
# baseline that follows from it, for people.
baseline = Table(
    "baseline",
    metadata,
    Column("device", String(64), ForeignKey("device.id"), primary_key=True),
    Column("class", String(16), primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("context", String(160), primary_key=True),
    Column("lo", Double),  # null: fewer measurements than a baseline needs
    Column("hi", Double),
    Column("history", Text, nullable=False),
    Column("changed", Double, nullable=False),
)

alert = Table(
    "alert",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    _device(),
    Column("kind", String(16), nullable=False),  # "shrink", or "short" where no history is
    Column("severity", String(16), nullable=False),  # "warning" or "critical"
    Column("raised", Double, nullable=False),
    Column("changed", Double, nullable=False),
    Column("cleared", Double),
    Column("cleared_by", String(16)),  # "recovery" or "accepted"
    # the worst of its evidence
    Column("class", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("old_lo", Double),
    Column("old_hi", Double),
    Column("new_lo", Double),
    Column("new_hi", Double),
    Column("keepalive_s", Double, nullable=False),  # that it was judged by
    Column("text", Text, nullable=False),
    # JSON: the box that the shrink is attributed to (natwatch.diagnosis.attribution); null: unknown
    Column("box", Text),
    Index(None, "device"),
    # one open alert a device, whatever the programs do
    Index(
        "uq_alert_open",
        "device",
        unique=True,
        sqlite_where=text("cleared IS NULL"),
        postgresql_where=text("cleared IS NULL"),
    ),
)

alert_evidence = Table(
    "alert_evidence",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("alert", BigInteger, ForeignKey("alert.id"), nullable=False),
    Column("class", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("context", String(160), nullable=False),
    Column("rule", String(16), nullable=False),  # collector.detect.SEVERITY names them
    Column("severity", String(16), nullable=False),
    Column("old_lo", Double),
    Column("old_hi", Double),
    Column("new_lo", Double),
    Column("new_hi", Double),
    Column("raised", Double, nullable=False),
    Column("cleared", Double),
    # when the first measurement behind its value was made; null: before that was noted
    Column("since", Double),
    Index(None, "alert"),
)

# What came and could not be read, as it came (store.quarantine bounds it). No foreign key: the
# device may be one that has never said anything good, or nobody.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("device", String(64), nullable=False),  # "?" where the topic names none
    Column("digest", String(64), nullable=False),  # what comes again is the same row
    Column("topic", String(128), nullable=False),
    Column("reason", String(32), nullable=False),  # collector.counts names them
    Column("detail", String(200), nullable=False),
    # Its number, where that much could be read: then it is acknowledged, and this is all there is
    # of it. Both null: the device still has it.
    Column("boot", String(16)),
    Column("seq", BigInteger),
    Column("first", Double, nullable=False),
    Column("last", Double, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes as it came
    Column("payload", LargeBinary, nullable=False),  # the first of them
    Column("weight", Integer, nullable=False),  # bytes that count against the bounds
    UniqueConstraint("device", "digest"),
)

# How many rows had to make room, by device; "?" stands for all that are not in table device.
quarantine_gone = Table(
    "quarantine_gone",
    metadata,
    Column("device", String(64), primary_key=True),
    Column("messages", BigInteger, nullable=False),
    Column("reports", BigInteger, nullable=False),  # of these, acknowledged ones: lost for good
)
