//! Where a region of a story keeps its data, and how an operator backs it up: in SQLite files, which
//! are copied, or, with the feature `postgres-tests`, in a database of its own on the server in
//! POSTHOUSE_TEST_POSTGRES.

#[cfg(not(feature = "postgres-tests"))]
pub(crate) use files::{Backup, Data};
#[cfg(feature = "postgres-tests")]
pub(crate) use postgres::{Backup, Data};

#[cfg(not(feature = "postgres-tests"))]
mod files {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    /// The files below the region's directory.
    pub(crate) struct Data;

    /// A copy of them.
    pub(crate) struct Backup(TempDir);

    impl Data {
        pub(crate) fn new() -> Self {
            Self
        }

        /// Flags for `posthouse init`.
        pub(crate) fn flags(&self) -> Vec<String> {
            Vec::new()
        }

        /// Copies the database; the server is down.
        pub(crate) fn back_up(&self, region: &Path) -> Backup {
            let backup = tempfile::tempdir().unwrap();
            copy(&region.join("data"), backup.path());
            Backup(backup)
        }

        /// Puts the copy in the database's place; the server is down. What belongs to the lost one is
        /// removed first, its log of writes above all.
        pub(crate) fn restore(&self, region: &Path, backup: &Backup) {
            let data = region.join("data");
            fs::remove_dir_all(&data).unwrap();
            fs::create_dir(&data).unwrap();
            copy(backup.0.path(), &data);
        }
    }

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[cfg(feature = "postgres-tests")]
mod postgres {
    use std::{
        path::Path,
        process::{Command, id},
        sync::atomic::{AtomicU32, Ordering},
        time::{Duration, Instant},
    };

    /// How long a killed server's connections may take to end.
    const PATIENCE: Duration = Duration::from_secs(30);
    static NUMBER: AtomicU32 = AtomicU32::new(0);

    /// A database.
    pub(crate) struct Data {
        name: String,
    }

    /// A database that was made as a copy of it.
    pub(crate) struct Backup {
        name: String,
    }

    fn server() -> String {
        let url = std::env::var_os("POSTHOUSE_TEST_POSTGRES");
        url.expect("POSTHOUSE_TEST_POSTGRES is not set").into_string().unwrap()
    }

    fn fresh_name() -> String {
        format!("faults_{}_{}", id(), NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    fn psql(statement: &str) -> Result<(), String> {
        let mut psql = Command::new("psql");
        let output =
            psql.args([&server(), "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]).output();
        let output = output.unwrap();
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Copies a database that nobody uses any more.
    fn copy(from: &str, to: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(err) = psql(&format!("CREATE DATABASE {to} TEMPLATE {from}")) {
            assert!(Instant::now() < deadline, "{err}");
        }
    }

    impl Data {
        pub(crate) fn new() -> Self {
            let name = fresh_name();
            psql(&format!("CREATE DATABASE {name}")).unwrap();
            Self { name }
        }

        /// Flags for `posthouse init`.
        pub(crate) fn flags(&self) -> Vec<String> {
            let url = server();
            let (front, query) = url.split_once('?').unwrap_or((&url, ""));
            let (front, _) = front.rsplit_once('/').expect("a URL with a database");
            vec!["--database".to_owned(), format!("{front}/{}?{query}", self.name)]
        }

        /// Copies the database; the server is down.
        pub(crate) fn back_up(&self, _region: &Path) -> Backup {
            let backup = Backup { name: fresh_name() };
            copy(&self.name, &backup.name);
            backup
        }

        /// Puts the copy in the database's place; the server is down.
        pub(crate) fn restore(&self, _region: &Path, backup: &Backup) {
            psql(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).unwrap();
            copy(&backup.name, &self.name);
        }
    }

    impl Drop for Data {
        fn drop(&mut self) {
            // The whole server is thrown away anyway.
            drop(psql(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)));
        }
    }

    impl Drop for Backup {
        fn drop(&mut self) {
            drop(psql(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)));
        }
    }
}
