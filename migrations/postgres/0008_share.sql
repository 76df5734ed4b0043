-- The part of a person's own setup that the bundle's homes have: 'nothing', 'mine', or 'bundle:' and an id. Bundles that
-- exist share nothing until their owner says so.
ALTER TABLE identity_bundles ADD COLUMN share TEXT NOT NULL DEFAULT 'nothing';
-- 1 if the history is shared as well.
ALTER TABLE identity_bundles ADD COLUMN share_history BIGINT NOT NULL DEFAULT 0;
