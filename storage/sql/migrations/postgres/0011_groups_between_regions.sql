-- Who leaves while the region that sequences a group is away, and which regions know an epoch.

-- leaving: an account of this region that has left, or declined, ahead of the chain.
-- departures: how often one has.
ALTER TABLE group_people ADD COLUMN leaving BIGINT NOT NULL DEFAULT 0;
ALTER TABLE group_heads ADD COLUMN departures BIGINT NOT NULL DEFAULT 0;

-- since: the first epoch that the region has not said to have. refused: it does not take the newest,
-- and is not asked again before the next.
ALTER TABLE group_tells ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE group_tells ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
UPDATE group_tells SET since = epoch;
CREATE INDEX group_tells_by_group ON group_tells (group_id);
