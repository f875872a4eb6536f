-- An administrator lists grants, the newest first.

CREATE INDEX grants_created ON grants (created_at DESC, id);
