-- name: end_grants
UPDATE grants SET revoked_at = :now, revoked_reason = :reason
WHERE id IN (SELECT id FROM grants WHERE revoked_at IS NULL AND expires_at > :now LIMIT :limit) AND revoked_at IS NULL
RETURNING id;

-- name: finish_every_flow!
UPDATE pending_flows SET finished_at = :now WHERE finished_at IS NULL;

-- name: forget_pushed_requests!
DELETE FROM pushed_requests;

-- name: forget_sign_ins!
DELETE FROM upstream_sign_ins;

-- name: forget_links!
DELETE FROM connect_sessions;

-- name: forget_consents
DELETE FROM remembered_consents WHERE id IN (SELECT id FROM remembered_consents LIMIT :limit) RETURNING id;

-- name: forget_browsers
DELETE FROM known_browsers WHERE person_hash IN (SELECT person_hash FROM known_browsers LIMIT :limit)
RETURNING person_hash;

-- name: end_every_session!
DELETE FROM admin_sessions;

-- name: forget_set_up_links!
DELETE FROM setup_links;
