-- name: use_proof^
INSERT INTO used_proofs (proof_hash, expires_at) VALUES (:proof_hash, :expires_at)
ON CONFLICT (proof_hash) DO NOTHING
RETURNING proof_hash;

-- name: drop_proofs
DELETE FROM used_proofs WHERE proof_hash IN (SELECT proof_hash FROM used_proofs WHERE expires_at <= :before LIMIT :limit)
RETURNING proof_hash;
