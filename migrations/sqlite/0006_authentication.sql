-- The authentication of each row that decides where a credential goes or whose it is: a code over its deciding columns,
-- made with a key that is derived from the encryption key. Rows from before this migration get theirs at the next start.
ALTER TABLE accounts ADD COLUMN mac BLOB;
ALTER TABLE account_tokens ADD COLUMN mac BLOB;
ALTER TABLE identity_bundles ADD COLUMN mac BLOB;
ALTER TABLE identity_bindings ADD COLUMN mac BLOB;
ALTER TABLE user_profiles ADD COLUMN mac BLOB;
ALTER TABLE operator_tokens ADD COLUMN mac BLOB;
ALTER TABLE pending_logins ADD COLUMN mac BLOB;
ALTER TABLE agent_instances ADD COLUMN mac BLOB;
ALTER TABLE login_sessions ADD COLUMN mac BLOB;
ALTER TABLE service_settings ADD COLUMN mac BLOB;
ALTER TABLE tombstones ADD COLUMN mac BLOB;
