"""The first tables: devices, what they sent, what follows from it, and alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite counts rows by itself only where the type is exactly INTEGER.
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "device",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("boot", sa.String(16), nullable=True),
        sa.Column("conn", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(32), nullable=True),
        sa.Column("interpreter", sa.String(32), nullable=True),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("keepalive_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
    )
    op.create_table(
        "alert",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("raised", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("cleared", sa.Double(), nullable=True),
        sa.Column("cleared_by", sa.String(16), nullable=True),
        sa.Column("class", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("old_lo", sa.Double(), nullable=True),
        sa.Column("old_hi", sa.Double(), nullable=True),
        sa.Column("new_lo", sa.Double(), nullable=True),
        sa.Column("new_hi", sa.Double(), nullable=True),
        sa.Column("keepalive_s", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_alert_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    op.create_index(op.f("ix_alert_device"), "alert", ["device"])
    op.create_index(
        "uq_alert_open",
        "alert",
        ["device"],
        unique=True,
        sqlite_where=sa.text("cleared IS NULL"),
        postgresql_where=sa.text("cleared IS NULL"),
    )
    op.create_table(
        "baseline",
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("class", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("context", sa.String(160), nullable=False),
        sa.Column("lo", sa.Double(), nullable=True),
        sa.Column("hi", sa.Double(), nullable=True),
        sa.Column("history", sa.Text(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_baseline_device")),
        sa.PrimaryKeyConstraint("device", "class", "state", "context", name=op.f("pk_baseline")),
    )
    op.create_table(
        "lifetime",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("boot", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("measurement", sa.BigInteger(), nullable=False),
        sa.Column("class", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("context", sa.String(160), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=True),
        sa.Column("public", sa.String(64), nullable=True),
        sa.Column("measured", sa.Double(), nullable=False),
        sa.Column("lo", sa.Double(), nullable=True),
        sa.Column("hi", sa.Double(), nullable=True),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(256), nullable=True),
        sa.Column("alive", sa.Integer(), nullable=False),
        sa.Column("expired", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("bindings", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_lifetime_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lifetime")),
    )
    op.create_index(op.f("ix_lifetime_device_measured"), "lifetime", ["device", "measured"])
    op.create_table(
        "report",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("boot", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("tq", sa.String(16), nullable=False),
        sa.Column("mono", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_report_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
    )
    op.create_index(op.f("ix_report_device_received"), "report", ["device", "received"])
    op.create_table(
        "stream",
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("boot", sa.String(16), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.Text(), nullable=False),
        sa.Column("anchor", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_stream_device")),
        sa.PrimaryKeyConstraint("device", "boot", name=op.f("pk_stream")),
    )
    op.create_table(
        "alert_evidence",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("alert", sa.BigInteger(), nullable=False),
        sa.Column("class", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("context", sa.String(160), nullable=False),
        sa.Column("rule", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("old_lo", sa.Double(), nullable=True),
        sa.Column("old_hi", sa.Double(), nullable=True),
        sa.Column("new_lo", sa.Double(), nullable=True),
        sa.Column("new_hi", sa.Double(), nullable=True),
        sa.Column("raised", sa.Double(), nullable=False),
        sa.Column("cleared", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["alert"], ["alert.id"], name=op.f("fk_alert_evidence_alert")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_evidence")),
    )
    op.create_index(op.f("ix_alert_evidence_alert"), "alert_evidence", ["alert"])
