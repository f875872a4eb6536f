-- name: ping$
SELECT 1;

-- name: applied_migrations
SELECT number FROM schema_migrations;

-- name: record_migration!
INSERT INTO schema_migrations (number, name, applied_at) VALUES (:number, :name, :applied_at);

-- name: installation_value$
SELECT value FROM installation WHERE name = :name;

-- name: keep_installation_value!
INSERT INTO installation (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING;
