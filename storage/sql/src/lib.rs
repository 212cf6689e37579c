//! SQLite and PostgreSQL adapter of the Posthouse storage ports.
