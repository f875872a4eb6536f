-- name: add_virtual_key^
INSERT INTO virtual_keys
    (id, name, description, value_hash, value_hint, is_active, expires_at, mcp_configs, config_mac, created_at,
     updated_at)
VALUES
    (:id, :name, :description, :value_hash, :value_hint, :is_active, :expires_at, :mcp_configs, :config_mac,
     :created_at, :updated_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: value_owner$
SELECT other.name FROM virtual_keys other JOIN virtual_keys mine ON other.id <> mine.id
WHERE mine.name = :name AND mine.config_mac <> '' AND mine.config_mac <> :config_mac
  AND other.value_hash = :value_hash;

-- name: reconfigure_virtual_key^
UPDATE virtual_keys SET
    description = :description, value_hash = :value_hash, value_hint = :value_hint, is_active = :is_active,
    expires_at = :expires_at, mcp_configs = :mcp_configs, config_mac = :config_mac, updated_at = :updated_at
WHERE name = :name AND config_mac <> '' AND config_mac <> :config_mac
RETURNING id;

-- name: virtual_key_by_hash^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys WHERE value_hash = :value_hash;

-- name: virtual_key^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys WHERE id = :id;

-- name: virtual_key_by_id_or_name^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys WHERE id = :wanted OR name = :wanted
ORDER BY CASE WHEN id = :wanted THEN 0 ELSE 1 END LIMIT 1;

-- name: virtual_keys
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, created_at, updated_at
FROM virtual_keys ORDER BY name;

-- name: deactivate_virtual_key^
UPDATE virtual_keys SET is_active = FALSE, config_mac = '', updated_at = :now WHERE id = :id AND is_active RETURNING id;
