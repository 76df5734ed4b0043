-- The rule for the providers that a bundle does not bind, and the providers that are decided by name, separated by spaces.
-- NULL is the rule that a new bundle of that id has.
ALTER TABLE identity_bundles ADD COLUMN unbound TEXT;
ALTER TABLE identity_bundles ADD COLUMN unbound_own TEXT;
ALTER TABLE identity_bundles ADD COLUMN unbound_sealed TEXT;
