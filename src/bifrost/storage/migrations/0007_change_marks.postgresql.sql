-- `change_marks` has one row, whose number grows with every change of a row that a request stands on: what is kept of
-- such rows in memory is old then (storage/remembered.py). Inserted rows need none, for "there is no such row" is not
-- kept; nor does a grant that only lasts longer. Every process hears of it through the channel `bifrost_changes`.
--
-- The triggers are deferred to the commit: nobody holds the one row while they wait for another.

CREATE TABLE change_marks (
    value BIGINT NOT NULL
);
INSERT INTO change_marks (value) VALUES (0);

CREATE FUNCTION mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- once a transaction, however many rows it changes
    IF coalesce(current_setting('bifrost.marked', true), '') <> 'yes' THEN
        PERFORM set_config('bifrost.marked', 'yes', true);
        UPDATE change_marks SET value = value + 1;
        PERFORM pg_notify('bifrost_changes', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER virtual_keys_changed AFTER UPDATE OR DELETE ON virtual_keys
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mark_change();

CREATE CONSTRAINT TRIGGER grants_revoked AFTER UPDATE OF revoked_at ON grants
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mark_change();

CREATE CONSTRAINT TRIGGER grants_deleted AFTER DELETE ON grants
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mark_change();

CREATE CONSTRAINT TRIGGER access_tokens_updated AFTER UPDATE ON access_tokens
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mark_change();
