-- name: end_every_grant
UPDATE grants SET revoked_at = :now, revoked_reason = :reason WHERE revoked_at IS NULL AND expires_at > :now
RETURNING id;

-- name: finish_every_flow!
UPDATE pending_flows SET finished_at = :now WHERE finished_at IS NULL;

-- name: forget_pushed_requests!
DELETE FROM pushed_requests;

-- name: forget_sign_ins!
DELETE FROM upstream_sign_ins;

-- name: forget_links!
DELETE FROM connect_sessions;

-- name: forget_consents!
DELETE FROM remembered_consents;

-- name: forget_browsers!
DELETE FROM known_browsers;

-- name: end_every_session!
DELETE FROM admin_sessions;

-- name: forget_set_up_links!
DELETE FROM setup_links;
