-- name: add_upstream^
INSERT INTO upstreams
    (pending, id, name, endpoint_slug, connection_type, connection_string, auth_type, sealed_headers, sealed_oauth_config,
     tools_to_execute, allow_on_all_virtual_keys, tool_execution_timeout, disabled, stdio_config, oauth_config_id,
     per_user_header_keys, allowed_extra_headers, is_ping_available, tool_sync_interval, max_concurrent_calls,
     tls_config, vetted, tool_pricing, state, state_reason, config_mac, created_at, updated_at)
VALUES
    (:pending, :id, :name, :endpoint_slug, :connection_type, :connection_string, :auth_type, :sealed_headers,
     :sealed_oauth_config, :tools_to_execute, :allow_on_all_virtual_keys, :tool_execution_timeout, :disabled,
     :stdio_config, :oauth_config_id, :per_user_header_keys, :allowed_extra_headers, :is_ping_available,
     :tool_sync_interval, :max_concurrent_calls, :tls_config, :vetted, :tool_pricing, :state, :state_reason, :config_mac, :created_at, :updated_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: reconfigure_upstream^
UPDATE upstreams SET
    revision = revision + 1, check_due_at = 0,
    endpoint_slug = :endpoint_slug, connection_type = :connection_type, connection_string = :connection_string,
    auth_type = :auth_type, sealed_headers = :sealed_headers,
    sealed_oauth_config = :sealed_oauth_config, tools_to_execute = :tools_to_execute,
    allow_on_all_virtual_keys = :allow_on_all_virtual_keys, tool_execution_timeout = :tool_execution_timeout,
    disabled = :disabled, stdio_config = :stdio_config, oauth_config_id = :oauth_config_id,
    per_user_header_keys = :per_user_header_keys, allowed_extra_headers = :allowed_extra_headers,
    is_ping_available = :is_ping_available, tool_sync_interval = :tool_sync_interval,
    max_concurrent_calls = :max_concurrent_calls, tls_config = :tls_config, vetted = :vetted,
    tool_pricing = :tool_pricing, state = :state, state_reason = :state_reason, config_mac = :config_mac, updated_at = :updated_at
WHERE id = :id AND config_mac <> '' AND config_mac <> :config_mac
RETURNING id;

-- name: upstream_named^
SELECT * FROM upstreams WHERE name = :name AND NOT pending;

-- name: drop_pending!
DELETE FROM upstreams WHERE pending
  AND (name = :name OR endpoint_slug = :endpoint_slug OR (oauth_config_id <> '' AND oauth_config_id = :oauth_config_id));

-- name: upstreams
SELECT * FROM upstreams WHERE NOT pending ORDER BY name;

-- name: slug_owner$
SELECT other.name FROM upstreams other JOIN upstreams mine ON other.id <> mine.id
WHERE mine.id = :id AND mine.config_mac <> '' AND mine.config_mac <> :config_mac
  AND (other.endpoint_slug = :endpoint_slug
       OR (other.oauth_config_id <> '' AND other.oauth_config_id = :oauth_config_id));

-- name: taken^
SELECT other.name, other.endpoint_slug, other.oauth_config_id FROM upstreams other
WHERE other.id <> :id AND (other.name = :name OR other.endpoint_slug = :endpoint_slug
    OR (other.oauth_config_id <> '' AND other.oauth_config_id = :oauth_config_id))
LIMIT 1;

-- name: change_upstream$
UPDATE upstreams SET
    name = :name, revision = revision + 1, check_due_at = 0,
    endpoint_slug = :endpoint_slug, connection_type = :connection_type, connection_string = :connection_string,
    auth_type = :auth_type, sealed_headers = :sealed_headers,
    sealed_oauth_config = :sealed_oauth_config, tools_to_execute = :tools_to_execute,
    allow_on_all_virtual_keys = :allow_on_all_virtual_keys, tool_execution_timeout = :tool_execution_timeout,
    disabled = :disabled, stdio_config = :stdio_config, oauth_config_id = :oauth_config_id,
    per_user_header_keys = :per_user_header_keys, allowed_extra_headers = :allowed_extra_headers,
    is_ping_available = :is_ping_available, tool_sync_interval = :tool_sync_interval,
    max_concurrent_calls = :max_concurrent_calls, tls_config = :tls_config, vetted = :vetted,
    tool_pricing = :tool_pricing, state = :state, state_reason = :state_reason, config_mac = :config_mac, updated_at = :updated_at
WHERE id = :id AND revision = :revision AND NOT pending
RETURNING revision;

-- name: delete_upstream$
DELETE FROM upstreams WHERE id = :id AND NOT pending RETURNING name;

-- name: invalidate_credentials!
UPDATE upstream_credentials SET
    state = :state, lasting = 'needs_reauth', reason = :reason, more_scope = '', version = version + 1, lease_until = NULL, updated_at = :now
WHERE upstream_id = :id;

-- name: drop_credentials!
DELETE FROM upstream_credentials WHERE upstream_id = :id;

-- name: drop_registrations!
DELETE FROM upstream_registrations WHERE upstream_id = :id;

-- name: drop_sign_ins!
DELETE FROM upstream_sign_ins WHERE upstream_id = :id;

-- name: drop_set_up_of!
DELETE FROM upstream_set_ups WHERE upstream_id = :id;

-- name: note_state$
UPDATE upstreams SET state = :state, state_reason = :reason
WHERE id = :id AND connection_string = :connection_string AND (state <> :state OR state_reason <> :reason)
RETURNING id;

-- name: end_grants_of_left_slugs!
-- Whatever gets such an address next is something else than what people allowed.
UPDATE grants SET revoked_at = :now, revoked_reason = 'endpoint_ended'
WHERE revoked_at IS NULL AND resource IN (
    SELECT '/mcp/' || slug FROM endpoint_slugs WHERE upstream_id = :id AND slug <> :endpoint_slug);

-- name: leave_slug!
DELETE FROM endpoint_slugs WHERE upstream_id = :id AND slug <> :endpoint_slug;

-- name: claim_slug$
INSERT INTO endpoint_slugs (slug, upstream_id) VALUES (:endpoint_slug, :id)
ON CONFLICT (slug) DO UPDATE SET slug = excluded.slug WHERE endpoint_slugs.upstream_id = excluded.upstream_id
RETURNING slug;

-- name: slug_of_virtual_mcp$
SELECT slug FROM endpoint_slugs WHERE slug = :endpoint_slug AND virtual_mcp_id IS NOT NULL;

-- name: take_back!
DELETE FROM upstreams WHERE id = :id;

-- name: managed
SELECT * FROM upstreams WHERE NOT pending ORDER BY name;

-- name: managed_one^
SELECT * FROM upstreams WHERE id = :id OR (oauth_config_id <> '' AND oauth_config_id = :oauth_config_id);
