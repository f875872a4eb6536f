-- name: add_upstream^
INSERT INTO upstreams
    (id, name, endpoint_slug, connection_type, connection_string, auth_type, sealed_headers, sealed_oauth_config,
     tools_to_execute, allow_on_all_virtual_keys, tool_execution_timeout, disabled, stdio_config, oauth_config_id,
     per_user_header_keys, allowed_extra_headers, is_ping_available, tool_sync_interval, tls_config, state,
     state_reason, config_mac, created_at, updated_at)
VALUES
    (:id, :name, :endpoint_slug, :connection_type, :connection_string, :auth_type, :sealed_headers,
     :sealed_oauth_config, :tools_to_execute, :allow_on_all_virtual_keys, :tool_execution_timeout, :disabled,
     :stdio_config, :oauth_config_id, :per_user_header_keys, :allowed_extra_headers, :is_ping_available,
     :tool_sync_interval, :tls_config, :state, :state_reason, :config_mac, :created_at, :updated_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: reconfigure_upstream^
UPDATE upstreams SET
    endpoint_slug = :endpoint_slug, connection_type = :connection_type, connection_string = :connection_string,
    auth_type = :auth_type, sealed_headers = :sealed_headers,
    sealed_oauth_config = :sealed_oauth_config, tools_to_execute = :tools_to_execute,
    allow_on_all_virtual_keys = :allow_on_all_virtual_keys, tool_execution_timeout = :tool_execution_timeout,
    disabled = :disabled, stdio_config = :stdio_config, oauth_config_id = :oauth_config_id,
    per_user_header_keys = :per_user_header_keys, allowed_extra_headers = :allowed_extra_headers,
    is_ping_available = :is_ping_available, tool_sync_interval = :tool_sync_interval, tls_config = :tls_config,
    state = :state, state_reason = :state_reason, config_mac = :config_mac, updated_at = :updated_at
WHERE id = :id AND config_mac <> '' AND config_mac <> :config_mac
RETURNING id;

-- name: upstream_id$
SELECT id FROM upstreams WHERE name = :name;

-- name: upstreams
SELECT id, name, endpoint_slug, connection_type, connection_string, auth_type, sealed_headers, sealed_oauth_config,
       tools_to_execute, allow_on_all_virtual_keys, tool_execution_timeout, disabled, stdio_config, oauth_config_id,
       per_user_header_keys, allowed_extra_headers, is_ping_available, tool_sync_interval, tls_config, state,
       state_reason
FROM upstreams ORDER BY name;

-- name: slug_owner$
SELECT other.name FROM upstreams other JOIN upstreams mine ON other.id <> mine.id
WHERE mine.id = :id AND mine.config_mac <> '' AND mine.config_mac <> :config_mac
  AND (other.endpoint_slug = :endpoint_slug
       OR (other.oauth_config_id <> '' AND other.oauth_config_id = :oauth_config_id));
