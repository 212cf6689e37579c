-- What is written to learn whether writing works: one row. filler: of the size of a large message.
CREATE TABLE write_tries (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    count BIGINT NOT NULL,
    filler BYTEA
);
INSERT INTO write_tries (only_row, count) VALUES (1, 0);
