"""What the audit trail needs remembered: rows are added and read, never changed."""

from typing import Protocol

from bifrost.audit.models import AuditFilter, AuditRow


class AuditStore(Protocol):
    async def add_rows(self, rows: tuple[AuditRow, ...]) -> None:
        """All or nothing."""

    async def audit_rows(self, wanted: AuditFilter, *, limit: int, offset: int) -> tuple[list[AuditRow], int]:
        """A page, the newest first, and how many there are altogether."""
        ...
