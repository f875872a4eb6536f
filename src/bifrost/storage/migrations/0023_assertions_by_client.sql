-- Assertions are counted for the client that made them: whoever makes its own must not fill the database.

ALTER TABLE used_assertions ADD COLUMN client_hash TEXT NOT NULL DEFAULT '';
CREATE INDEX used_assertions_client ON used_assertions (client_hash, expires_at);
