-- name: add_row!
INSERT INTO audit_events (id, at, event, actor, target, result, client_address, event_id, details)
VALUES (:id, :at, :event, :actor, :target, :result, :client_address, :event_id, :details);

-- name: audit_rows
SELECT id, at, event, actor, target, result, client_address, event_id, details FROM audit_events
WHERE at >= :since AND at < :until
  AND (CAST(:event AS TEXT) = '' OR event = :event) AND (CAST(:actor AS TEXT) = '' OR actor = :actor)
  AND (CAST(:target AS TEXT) = '' OR target = :target) AND (CAST(:result AS TEXT) = '' OR result = :result)
  AND (CAST(:event_id AS TEXT) = '' OR event_id = :event_id)
ORDER BY number DESC LIMIT :limit OFFSET :offset;

-- name: count_rows$
SELECT COUNT(*) FROM audit_events
WHERE at >= :since AND at < :until
  AND (CAST(:event AS TEXT) = '' OR event = :event) AND (CAST(:actor AS TEXT) = '' OR actor = :actor)
  AND (CAST(:target AS TEXT) = '' OR target = :target) AND (CAST(:result AS TEXT) = '' OR result = :result)
  AND (CAST(:event_id AS TEXT) = '' OR event_id = :event_id);
