-- Whether the place of an upstream came through the API: then its addresses are judged at every connection, not only on
-- the day that it was added. What was added before was judged once.

ALTER TABLE upstreams ADD COLUMN vetted BOOLEAN NOT NULL DEFAULT FALSE;
