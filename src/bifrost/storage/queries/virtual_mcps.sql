-- name: virtual_mcps
SELECT id, name, description, endpoint_slug, mcp_configs, disabled, created_at, updated_at
FROM virtual_mcps ORDER BY name;

-- name: add_virtual_mcp$
INSERT INTO virtual_mcps
    (id, name, description, endpoint_slug, mcp_configs, disabled, config_mac, created_at, updated_at)
VALUES (:id, :name, :description, :endpoint_slug, :mcp_configs, :disabled, :config_mac, :created_at, :updated_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: named^
SELECT id, endpoint_slug FROM virtual_mcps WHERE name = :name;

-- name: id_or_name_owner$
SELECT name FROM virtual_mcps WHERE id = :id OR name = :name LIMIT 1;

-- name: reconfigure_virtual_mcp$
UPDATE virtual_mcps SET
    description = :description, endpoint_slug = :endpoint_slug, mcp_configs = :mcp_configs, disabled = :disabled,
    config_mac = :config_mac, updated_at = :updated_at
WHERE name = :name AND config_mac <> '' AND config_mac <> :config_mac
RETURNING id;

-- name: lock_virtual_mcp^
UPDATE virtual_mcps SET updated_at = :now WHERE id = :id RETURNING name, endpoint_slug;

-- name: change_virtual_mcp^
UPDATE virtual_mcps SET
    name = COALESCE(:name, name), description = COALESCE(:description, description),
    endpoint_slug = COALESCE(:endpoint_slug, endpoint_slug), mcp_configs = COALESCE(:mcp_configs, mcp_configs),
    disabled = COALESCE(:disabled, disabled), config_mac = '', updated_at = :now
WHERE id = :id
RETURNING id, name, description, endpoint_slug, mcp_configs, disabled, created_at, updated_at;

-- name: delete_virtual_mcp^
DELETE FROM virtual_mcps WHERE id = :id
RETURNING id, name, description, endpoint_slug, mcp_configs, disabled, created_at, updated_at;

-- name: leave_slug!
DELETE FROM endpoint_slugs WHERE virtual_mcp_id = :id AND slug <> :endpoint_slug;

-- name: claim_slug$
INSERT INTO endpoint_slugs (slug, virtual_mcp_id) VALUES (:endpoint_slug, :id)
ON CONFLICT (slug) DO UPDATE SET slug = excluded.slug WHERE endpoint_slugs.virtual_mcp_id = excluded.virtual_mcp_id
RETURNING slug;

-- name: end_grants!
UPDATE grants SET revoked_at = :now, revoked_reason = 'endpoint_ended' WHERE resource = :path AND revoked_at IS NULL;

-- name: attachments
SELECT id, virtual_mcps FROM virtual_keys WHERE virtual_mcps <> '[]';

-- name: lock_key$
UPDATE virtual_keys SET updated_at = :now WHERE id = :id RETURNING virtual_mcps;

-- name: write_attachments!
UPDATE virtual_keys SET virtual_mcps = :virtual_mcps, config_mac = '' WHERE id = :id;
