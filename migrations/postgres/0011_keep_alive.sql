-- 'on' or 'off' if the login of the account is renewed by its CLI before it ends. NULL is the rule of the configuration.
ALTER TABLE accounts ADD COLUMN keep_alive TEXT;
-- The last renewal, the last attempt with its outcome and the CLI's version, and the next attempt.
ALTER TABLE accounts ADD COLUMN kept_at BIGINT;
ALTER TABLE accounts ADD COLUMN keep_tried_at BIGINT;
ALTER TABLE accounts ADD COLUMN keep_outcome TEXT;
ALTER TABLE accounts ADD COLUMN keep_detail TEXT;
ALTER TABLE accounts ADD COLUMN keep_next_at BIGINT;
ALTER TABLE accounts ADD COLUMN keep_failures BIGINT;
ALTER TABLE accounts ADD COLUMN keep_version TEXT;
-- The mark of the refresh token that the provider refused, and the time. It is not sent again.
ALTER TABLE accounts ADD COLUMN refused_mark TEXT;
ALTER TABLE accounts ADD COLUMN refused_at BIGINT;
-- The number of days before the login's deadline of which the user was told, and that deadline, as 'days:deadline'.
ALTER TABLE accounts ADD COLUMN deadline_notice TEXT;
