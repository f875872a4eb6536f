-- name: add_upstream^
INSERT INTO upstreams
    (id, name, endpoint_slug, connection_type, connection_string, auth_type, sealed_headers, sealed_oauth_config,
     tools_to_execute, allow_on_all_virtual_keys, tool_execution_timeout, disabled, created_at, updated_at)
VALUES
    (:id, :name, :endpoint_slug, :connection_type, :connection_string, :auth_type, :sealed_headers,
     :sealed_oauth_config, :tools_to_execute, :allow_on_all_virtual_keys, :tool_execution_timeout, :disabled, :created_at, :updated_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: upstreams
SELECT id, name, endpoint_slug, connection_type, connection_string, auth_type, sealed_headers, sealed_oauth_config,
       tools_to_execute, allow_on_all_virtual_keys, tool_execution_timeout, disabled
FROM upstreams ORDER BY name;
