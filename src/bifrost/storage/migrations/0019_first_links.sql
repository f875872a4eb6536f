-- The link that the first start prints is for a gateway without an administrator; one that was asked for is for any.

ALTER TABLE setup_links ADD COLUMN is_first BOOLEAN NOT NULL DEFAULT FALSE;
