-- name: add_virtual_key^
INSERT INTO virtual_keys
    (id, name, description, value_hash, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
     config_mac, created_at, updated_at)
SELECT
    :id, :name, :description, :value_hash, :value_hint, CAST(:is_active AS BOOLEAN), CAST(:expires_at AS BIGINT),
    :mcp_configs, :virtual_mcps, :rate_limit, :budgets, :config_mac, CAST(:created_at AS BIGINT), CAST(:updated_at AS BIGINT)
WHERE NOT EXISTS (SELECT 1 FROM retired_key_values WHERE value_hash = :value_hash)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: retired$
SELECT value_hash FROM retired_key_values WHERE value_hash = :value_hash;

-- name: value_owner$
SELECT other.name FROM virtual_keys other JOIN virtual_keys mine ON other.id <> mine.id
WHERE mine.name = :name AND mine.config_mac <> '' AND mine.config_mac <> :config_mac
  AND other.value_hash = :value_hash;

-- name: value_before$
-- Of the key that `reconfigure_virtual_key` changes.
SELECT value_hash FROM virtual_keys WHERE name = :name OR value_hash = :value_hash
ORDER BY CASE WHEN name = :name THEN 0 ELSE 1 END LIMIT 1;

-- name: reconfigure_virtual_key^
-- The entry of this name; or the one with its value, which has then got another name in the file.
UPDATE virtual_keys SET
    name = :name, description = :description, value_hash = :value_hash, value_hint = :value_hint, is_active = :is_active,
    expires_at = :expires_at, mcp_configs = :mcp_configs, virtual_mcps = :virtual_mcps, rate_limit = :rate_limit, budgets = :budgets,
    config_mac = :config_mac, updated_at = :updated_at
WHERE id = (SELECT id FROM virtual_keys WHERE name = :name OR value_hash = :value_hash
            ORDER BY CASE WHEN name = :name THEN 0 ELSE 1 END LIMIT 1)
  AND config_mac <> '' AND config_mac <> :config_mac
RETURNING id;

-- name: virtual_key_by_hash^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at
FROM virtual_keys WHERE value_hash = :value_hash;

-- name: virtual_key^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at
FROM virtual_keys WHERE id = :id;

-- name: virtual_key_by_id_or_name^
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at
FROM virtual_keys WHERE id = :wanted OR name = :wanted
ORDER BY CASE WHEN id = :wanted THEN 0 ELSE 1 END LIMIT 1;

-- name: virtual_keys
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at
FROM virtual_keys ORDER BY name;

-- name: deactivate_virtual_key^
UPDATE virtual_keys SET is_active = FALSE, config_mac = '', updated_at = :now WHERE id = :id AND is_active RETURNING id;

-- name: search_virtual_keys
SELECT id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at
FROM virtual_keys
WHERE LOWER(id) LIKE :pattern ESCAPE '!' OR LOWER(name) LIKE :pattern ESCAPE '!' OR LOWER(description) LIKE :pattern ESCAPE '!'
ORDER BY name LIMIT :limit OFFSET :offset;

-- name: count_virtual_keys$
SELECT COUNT(*) FROM virtual_keys
WHERE LOWER(id) LIKE :pattern ESCAPE '!' OR LOWER(name) LIKE :pattern ESCAPE '!' OR LOWER(description) LIKE :pattern ESCAPE '!';

-- name: change_virtual_key^
UPDATE virtual_keys SET
    name = COALESCE(:name, name), description = COALESCE(:description, description),
    is_active = COALESCE(:is_active, is_active), mcp_configs = COALESCE(:mcp_configs, mcp_configs),
    virtual_mcps = COALESCE(:virtual_mcps, virtual_mcps),
    expires_at = CASE WHEN :sets_expiry THEN :expires_at ELSE expires_at END,
    rate_limit = CASE WHEN :sets_rate_limit THEN :rate_limit ELSE rate_limit END, budgets = COALESCE(:budgets, budgets),
    config_mac = '', updated_at = :now
WHERE id = :id
RETURNING id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at;

-- name: lock_virtual_key$
UPDATE virtual_keys SET updated_at = :now WHERE id = :id RETURNING value_hash;

-- name: retire_value!
INSERT INTO retired_key_values (value_hash, retired_at) VALUES (:value_hash, :now) ON CONFLICT DO NOTHING;

-- name: rotate_virtual_key^
UPDATE virtual_keys SET value_hash = :value_hash, value_hint = :value_hint, config_mac = '', updated_at = :now
WHERE id = :id
RETURNING id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at;

-- name: delete_virtual_key^
DELETE FROM virtual_keys WHERE id = :id
RETURNING id, name, description, value_hint, is_active, expires_at, mcp_configs, virtual_mcps, rate_limit, budgets,
       created_at, updated_at;

-- name: leave_pending_flows!
UPDATE pending_flows SET identity_kind = NULL, identity_id = NULL WHERE identity_kind = 'vk' AND identity_id = :id;

-- name: delete_grants_of_key!
DELETE FROM grants WHERE identity_kind = 'vk' AND identity_id = :id;

-- name: delete_credentials_of_key!
DELETE FROM upstream_credentials WHERE owner_kind = 'vk' AND owner_id = :id;

-- name: delete_connect_sessions_of_key!
DELETE FROM connect_sessions WHERE identity_kind = 'vk' AND identity_id = :id;

-- name: delete_usage_of_key!
DELETE FROM key_usage WHERE key_id = :id;

-- name: delete_consents_of_key!
DELETE FROM remembered_consents WHERE identity_kind = 'vk' AND identity_id = :id;

-- name: delete_browsers_of_key!
DELETE FROM known_browsers WHERE identity_kind = 'vk' AND identity_id = :id;
