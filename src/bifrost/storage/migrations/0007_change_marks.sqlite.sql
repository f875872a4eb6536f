-- `change_marks` has one row, whose number grows with every change of a row that a request stands on: what is kept of
-- such rows in memory is old then (storage/remembered.py). Inserted rows need none, for "there is no such row" is not
-- kept; nor does a grant that only lasts longer.

CREATE TABLE change_marks (
    value BIGINT NOT NULL
);
INSERT INTO change_marks (value) VALUES (0);

CREATE TRIGGER virtual_keys_updated AFTER UPDATE ON virtual_keys
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TRIGGER virtual_keys_deleted AFTER DELETE ON virtual_keys
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TRIGGER grants_revoked AFTER UPDATE OF revoked_at ON grants
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TRIGGER grants_deleted AFTER DELETE ON grants
BEGIN UPDATE change_marks SET value = value + 1; END;

CREATE TRIGGER access_tokens_updated AFTER UPDATE ON access_tokens
BEGIN UPDATE change_marks SET value = value + 1; END;
