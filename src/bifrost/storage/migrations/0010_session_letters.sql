-- What one process has to tell the others about the MCP session of a client.

CREATE TABLE session_letters (
    id         TEXT PRIMARY KEY,
    session    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_letters_age ON session_letters (created_at);
CREATE INDEX session_letters_expiry ON session_letters (expires_at);
