"""The audit daemon: indexes the journals, signs heads over them, answers the AuditService, keeps spans."""
