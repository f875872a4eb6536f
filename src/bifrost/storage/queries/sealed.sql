-- name: clients_in_use
SELECT DISTINCT client_id FROM grants WHERE revoked_at IS NULL AND expires_at > :now;
