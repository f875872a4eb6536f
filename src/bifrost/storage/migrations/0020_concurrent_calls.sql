-- How many calls an upstream is given at the same time by one process; 0 is any number.

ALTER TABLE upstreams ADD COLUMN max_concurrent_calls BIGINT NOT NULL DEFAULT 100;
