-- A login that a user makes for an agent: whose it will be, and the profile that it became. Such a login has no bundle.
ALTER TABLE login_sessions ADD COLUMN target_user TEXT;
ALTER TABLE login_sessions ADD COLUMN target_agent TEXT;
ALTER TABLE login_sessions ADD COLUMN profile_id TEXT;
