-- What an administrator has decided about a client is asked at every step of a sign-in, so its row is kept in memory
-- (storage/remembered.py). That somebody allowed it once more changes nothing of that.

CREATE TRIGGER oauth_clients_updated
AFTER UPDATE OF client_name, metadata, secret_hash, label, scope_limit, blocked_at, fetched_at, fresh_until ON oauth_clients
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TRIGGER oauth_clients_deleted AFTER DELETE ON oauth_clients
BEGIN UPDATE change_marks SET value = value + 1; END;
