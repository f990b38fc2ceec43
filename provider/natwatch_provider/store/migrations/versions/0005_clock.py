"""When a boot began by the device's own clock, once that was confirmed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("stream", sa.Column("clock", sa.Double(), nullable=True))
