-- Other regions are told of deleted accounts by the outbox. outbox.state: 3 the sender was deleted.
CREATE INDEX outbox_gone ON outbox (sender, destination) WHERE state = 3;
