-- A used refresh token keeps what it was answered with, sealed under a key that only the token itself gives, so that
-- the same answer can be given again to a client that lost it or asked twice at once.

ALTER TABLE refresh_tokens ADD COLUMN successor_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh_tokens ADD COLUMN sealed_successors TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh_tokens ADD COLUMN replays BIGINT NOT NULL DEFAULT 0;
