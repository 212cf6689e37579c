-- Who leaves while the region that sequences the group is away.

-- leaving: an account of this region that has left, or declined, ahead of the chain.
-- departures: how often one has.
ALTER TABLE group_people ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_heads ADD COLUMN departures INTEGER NOT NULL DEFAULT 0;
