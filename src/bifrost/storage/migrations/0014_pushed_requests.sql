-- Authorization requests that a client pushed and whose browser has not come yet.

CREATE TABLE pushed_requests (
    name_hash  TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    query      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);
