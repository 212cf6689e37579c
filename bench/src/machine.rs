//! The machine that the figures belong to.

use std::{
    fs,
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::failure::Failure;

/// Syncs that are timed.
const SYNCS: usize = 200;

/// Facts that explain a figure.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// The processor's name.
    pub(crate) processor: String,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// Median time of fdatasync after a write of 4 KiB, in microseconds, on the disk of --dir.
    pub(crate) fsync_us: u64,
    /// The 99th percentile of it.
    pub(crate) fsync_p99_us: u64,
}

/// Looks at the machine, and at the disk of `dir`; takes a fraction of a second.
pub(crate) async fn probe(dir: &Path) -> Result<Machine, Failure> {
    let dir = dir.to_owned();
    let timing = tokio::task::spawn_blocking(move || time_fsync(&dir));
    let (fsync_us, fsync_p99_us) = timing.await??;
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let unknown = || "unknown".to_owned();
    Ok(Machine {
        cores: thread::available_parallelism().map_or(1, usize::from),
        processor: processor.unwrap_or_else(unknown),
        kernel: kernel.map_or_else(unknown, |text| text.trim().to_owned()),
        fsync_us,
        fsync_p99_us,
    })
}

fn time_fsync(dir: &Path) -> Result<(u64, u64), Failure> {
    let failed = |source| Failure::Write { path: dir.to_owned(), source };
    let mut file = tempfile::tempfile_in(dir).map_err(failed)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0x5a; 4096]).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Ok((micros(at(SYNCS / 2)), micros(at(SYNCS * 99 / 100))))
}
