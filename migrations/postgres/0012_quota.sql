-- The last figures about the limits of the account's login, as JSON.
ALTER TABLE accounts ADD COLUMN quota TEXT;
