//! `posthouse certificate authority`: a private authority for a federation of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use posthouse_protocol::{id::ServerName, time::Clock};

use crate::{
    clock::{SystemClock, system_random},
    console::Console,
    failure::{Exit, Failure},
    keys,
    tls::authority,
};

/// Makes the authority's files in `dir`, which may exist; `names` limits whom it may vouch for.
pub(super) fn make(dir: &Path, names: &[ServerName], console: Console) -> Result<(), Failure> {
    let (certificate, key): (PathBuf, PathBuf) = (dir.join("ca.pem"), dir.join("ca.key"));
    let cannot_write =
        |path: &Path, err: &std::io::Error| Failure::cannot_write(Exit::Keys, path, err);
    fs::create_dir_all(dir).map_err(|err| cannot_write(dir, &err))?;
    if let Some(found) = [&certificate, &key].into_iter().find(|path| path.exists()) {
        return Err(Failure::new(
            Exit::Keys,
            format!("{} is there already.", found.display()),
            "Nothing was changed. Choose another --dir, or use the authority that is there.",
        ));
    }
    let pair = authority::create(names, SystemClock.now(), system_random()?)?;
    keys::write_new(&key, pair.private.as_bytes(), 0o600)
        .map_err(|err| cannot_write(&key, &err))?;
    keys::write_new(&certificate, pair.public.as_bytes(), 0o644)
        .map_err(|err| cannot_write(&certificate, &err))?;
    let dir = dir.display();
    console.line(format_args!(
        "Made a private authority in {dir}:\n  ca.pem   its certificate: everybody who is to \
         believe it needs this\n  ca.key   its key: keep it secret\nNext, for each region:\n  \
         posthouse init --domain NAME --authority {dir}"
    ));
    Ok(())
}
