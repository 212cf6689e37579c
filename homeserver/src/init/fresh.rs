//! Files and directories that a command makes, and removes again if it does not come to its end.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    failure::{Exit, Failure},
    keys,
};

/// What was made so far. Dropped without [`Fresh::keep`], it removes all of it, and nothing else.
#[derive(Default)]
pub(super) struct Fresh {
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
    kept: bool,
}

impl Fresh {
    /// Makes a directory and those above it, where they are missing.
    pub(super) fn dir_all(&mut self, path: &Path) -> Result<(), Failure> {
        let mut missing: Vec<&Path> = path
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        missing.reverse();
        for dir in missing {
            fs::create_dir(dir).map_err(|err| cannot_write(dir, &err))?;
            self.dirs.push(dir.into());
        }
        Ok(())
    }

    /// Makes a directory that only its owner can enter.
    pub(super) fn private_dir(&mut self, path: &Path) -> Result<(), Failure> {
        keys::make_private_dir(path).map_err(|err| cannot_write(path, &err))?;
        self.dirs.push(path.into());
        Ok(())
    }

    /// Writes a file that does not exist.
    pub(super) fn file(&mut self, path: &Path, contents: &[u8], mode: u32) -> Result<(), Failure> {
        match keys::write_new(path, contents, mode) {
            Ok(()) => self.files.push(path.into()),
            Err(err) => {
                if err.kind() != io::ErrorKind::AlreadyExists {
                    self.files.push(path.into());
                }
                return Err(cannot_write(path, &err));
            }
        }
        Ok(())
    }

    /// Notes a file that does not exist and that another part is going to make.
    pub(super) fn expect_file(&mut self, path: PathBuf) {
        if !path.exists() {
            self.files.push(path);
        }
    }

    /// All is done: nothing is removed.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // What cannot be removed is found by the next `init`, which names it.
        for path in self.files.iter().rev() {
            _ = fs::remove_file(path);
        }
        for path in self.dirs.iter().rev() {
            _ = fs::remove_dir(path);
        }
    }
}

fn cannot_write(path: &Path, err: &io::Error) -> Failure {
    Failure::cannot_write(Exit::Other, path, err)
}
