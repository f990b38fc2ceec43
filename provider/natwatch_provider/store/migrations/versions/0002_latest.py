"""The latest report of each kind; whether packets from outside extend a binding; what differs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("lifetime", sa.Column("extends", sa.Boolean(), nullable=True))
    op.add_column("lifetime", sa.Column("difference", sa.Text(), nullable=True))
    op.create_table(
        "latest",
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("boot", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_latest_device")),
        sa.PrimaryKeyConstraint("device", "kind", name=op.f("pk_latest")),
    )
