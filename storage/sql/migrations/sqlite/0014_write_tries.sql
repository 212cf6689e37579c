-- What is written to learn whether writing works: one row. filler: of the size of a large message.
CREATE TABLE write_tries (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    count INTEGER NOT NULL,
    filler BLOB
) STRICT;
INSERT INTO write_tries (only_row, count) VALUES (1, 0);
