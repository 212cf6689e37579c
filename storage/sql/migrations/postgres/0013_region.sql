-- The region that this database is of: one row, written when the region is made, or at the first
-- start with a database from before this table.
CREATE TABLE region (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    name TEXT NOT NULL
);
