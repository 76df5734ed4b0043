-- The part of a person's own setup that the bundle's homes have: 'nothing', 'mine', or 'bundle:' and an id. NULL is
-- 'nothing': bundles that exist share nothing until their owner says so.
ALTER TABLE identity_bundles ADD COLUMN share TEXT;
-- 1 if the history is shared as well.
ALTER TABLE identity_bundles ADD COLUMN share_history INTEGER;
