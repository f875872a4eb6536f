-- Who did what. Rows are only ever added; `number` is their order.

CREATE TABLE audit_events (
    number         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    at             BIGINT NOT NULL,
    event          TEXT NOT NULL,
    actor          TEXT NOT NULL,
    target         TEXT NOT NULL,
    result         TEXT NOT NULL,
    client_address TEXT NOT NULL,
    event_id       TEXT NOT NULL,
    details        TEXT NOT NULL
);
CREATE INDEX audit_events_at ON audit_events (at);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are only added';
END
$$;

CREATE TRIGGER audit_events_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
