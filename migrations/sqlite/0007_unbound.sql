-- The rule for the providers that a bundle does not bind, and the providers that are decided by name, separated by spaces.
ALTER TABLE identity_bundles ADD COLUMN unbound TEXT NOT NULL DEFAULT 'tools';
ALTER TABLE identity_bundles ADD COLUMN unbound_own TEXT NOT NULL DEFAULT '';
ALTER TABLE identity_bundles ADD COLUMN unbound_sealed TEXT NOT NULL DEFAULT '';
UPDATE identity_bundles SET unbound = 'own' WHERE id = 'default';
UPDATE identity_bundles SET unbound = 'sealed' WHERE id = 'blank';
