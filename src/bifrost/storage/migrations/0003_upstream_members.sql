-- The rest of what the management API knows of an upstream. Lists and objects are JSON.

ALTER TABLE upstreams ADD COLUMN stdio_config TEXT NOT NULL DEFAULT '{}';
ALTER TABLE upstreams ADD COLUMN oauth_config_id TEXT NOT NULL DEFAULT '';
ALTER TABLE upstreams ADD COLUMN per_user_header_keys TEXT NOT NULL DEFAULT '[]';
ALTER TABLE upstreams ADD COLUMN allowed_extra_headers TEXT NOT NULL DEFAULT '[]';
ALTER TABLE upstreams ADD COLUMN is_ping_available BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE upstreams ADD COLUMN tool_sync_interval BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upstreams ADD COLUMN tls_config TEXT NOT NULL DEFAULT '{}';
ALTER TABLE upstreams ADD COLUMN state TEXT NOT NULL DEFAULT 'disconnected';
ALTER TABLE upstreams ADD COLUMN state_reason TEXT NOT NULL DEFAULT 'It has not been contacted yet.';

UPDATE upstreams SET oauth_config_id = 'oac_' || substr(id, 4), state = 'pending_verification',
    state_reason = 'An administrator has yet to sign in to it once.'
WHERE auth_type = 'per_user_oauth';

CREATE UNIQUE INDEX upstreams_oauth_config ON upstreams (oauth_config_id) WHERE oauth_config_id <> '';
