"""The box that a shrink is attributed to, and what that takes to look up."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LAYERS = sa.text("kind = 'layers'")


def upgrade() -> None:
    op.add_column("alert", sa.Column("box", sa.Text(), nullable=True))
    op.add_column("alert_evidence", sa.Column("since", sa.Double(), nullable=True))
    op.create_index(
        "ix_report_layers",
        "report",
        ["device", "time"],
        sqlite_where=_LAYERS,
        postgresql_where=_LAYERS,
    )
