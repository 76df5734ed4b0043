-- The changes of each transaction were written here, and nothing read them.
DROP TABLE events;
