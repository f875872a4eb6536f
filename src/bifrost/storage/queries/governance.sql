-- name: add_virtual_key!
INSERT INTO virtual_keys
    (id, name, description, value_hash, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at)
VALUES
    (:id, :name, :description, :value_hash, :value_hint, :is_active, :expires_at, :mcp_configs, :created_at, :updated_at);

-- name: virtual_key_by_hash^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys WHERE value_hash = :value_hash;

-- name: virtual_key^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys WHERE id = :id;

-- name: virtual_key_by_id_or_name^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys WHERE id = :wanted OR name = :wanted;

-- name: virtual_keys
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys ORDER BY name;

-- name: virtual_key_taken$
SELECT 1 FROM virtual_keys WHERE id = :id OR name = :name OR value_hash = :value_hash;

-- name: deactivate_virtual_key^
UPDATE virtual_keys SET is_active = FALSE, updated_at = :now WHERE id = :id AND is_active RETURNING id;
