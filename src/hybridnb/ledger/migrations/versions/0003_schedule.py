"""The schedule's rows, one a job and session, beside the chains."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; the chains stay as they are."""
    op.create_table(
        "schedule_starts",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("since", sa.String(10), nullable=False),
    )
    op.create_table(
        "schedule_slots",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("session", sa.String(10), primary_key=True),
        sa.Column("due_at", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("epoch", sa.String(64), nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("told", sa.Integer, nullable=False),
    )
    op.create_index("schedule_slots_by_status", "schedule_slots", ["status"])
