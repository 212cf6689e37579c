-- What is written to learn whether writing works: one row.
CREATE TABLE write_tries (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO write_tries (only_row, count) VALUES (1, 0);
