"""HTTP of the audit trail."""
