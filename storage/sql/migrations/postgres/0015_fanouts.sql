-- Only SQLite puts entries of inboxes off: here other processes write heads.
SELECT 1;
