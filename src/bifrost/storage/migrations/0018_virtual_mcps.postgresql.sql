-- Virtual MCPs: some upstreams, or some of their tools, as one endpoint. `mcp_configs` is the list of them in JSON;
-- `virtual_keys.virtual_mcps` the names of those that are attached to a key.
--
-- An address below /mcp/ belongs to one upstream or one virtual MCP: `endpoint_slugs` says to which.

CREATE TABLE virtual_mcps (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    description   TEXT NOT NULL,
    endpoint_slug TEXT NOT NULL UNIQUE,
    mcp_configs   TEXT NOT NULL,
    disabled      BOOLEAN NOT NULL,
    config_mac    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE endpoint_slugs (
    slug           TEXT PRIMARY KEY,
    upstream_id    TEXT UNIQUE REFERENCES upstreams (id) ON DELETE CASCADE,
    virtual_mcp_id TEXT UNIQUE REFERENCES virtual_mcps (id) ON DELETE CASCADE
);
INSERT INTO endpoint_slugs (slug, upstream_id) SELECT endpoint_slug, id FROM upstreams;

ALTER TABLE virtual_keys ADD COLUMN virtual_mcps TEXT NOT NULL DEFAULT '[]';

-- The whole list is kept in memory (storage/remembered.py), so a new one makes it old too.

CREATE CONSTRAINT TRIGGER virtual_mcps_changed AFTER INSERT OR UPDATE OR DELETE ON virtual_mcps
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mark_change();
