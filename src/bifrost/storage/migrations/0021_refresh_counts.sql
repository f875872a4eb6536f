-- How often a refresh token was answered again, and how often somebody else presented it: so that the audit trail says it
-- a few times and not each time.

ALTER TABLE refresh_tokens ADD COLUMN answered_again BIGINT NOT NULL DEFAULT 0;
ALTER TABLE refresh_tokens ADD COLUMN presented_by_others BIGINT NOT NULL DEFAULT 0;
