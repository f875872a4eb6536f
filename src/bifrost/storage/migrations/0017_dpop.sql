-- Tokens that are bound to a key of their client (DPoP, RFC 9449). `jkt` is the key's thumbprint, empty when there is
-- none. A proof that was used is remembered until it would be too old anyway.

ALTER TABLE pending_flows ADD COLUMN dpop_jkt TEXT NOT NULL DEFAULT '';
ALTER TABLE authorization_codes ADD COLUMN dpop_jkt TEXT NOT NULL DEFAULT '';
ALTER TABLE access_tokens ADD COLUMN jkt TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh_tokens ADD COLUMN jkt TEXT NOT NULL DEFAULT '';

CREATE TABLE used_proofs (
    proof_hash TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_proofs_expiry ON used_proofs (expires_at);
