-- From this schema on, the setting `row_census` counts the authenticated rows of each table. The opening of the database
-- takes it from the rows as they are. An earlier version would not keep it up to date, and so must not open the database.
SELECT 1;
