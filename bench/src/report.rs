//! What a run prints.

use core::fmt;
use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

use crate::{
    clock, failure::Failure, idle, killed, latency::Percentiles, machine::Machine, offline, pairs,
};

/// Least time between two progress lines, in nanoseconds.
const PROGRESS_EVERY: u64 = 2_000_000_000;

/// When the last progress line was written, on this process's clock.
static LAST_PROGRESS: AtomicU64 = AtomicU64::new(0);

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) server: String,
    pub(crate) figures: Figures,
}

/// What a scenario measured.
#[derive(Debug, Serialize)]
#[serde(tag = "scenario", rename_all = "lowercase")]
pub(crate) enum Figures {
    Pairs(Box<pairs::Figures>),
    Idle(idle::Figures),
    Offline(Box<offline::Figures>),
    Killed(killed::Figures),
}

impl Report {
    /// Whether every message arrived once and in order.
    pub(crate) fn is_sound(&self) -> bool {
        match &self.figures {
            Figures::Pairs(figures) => figures.sound.is_sound(),
            Figures::Idle(_) => true,
            Figures::Offline(figures) => figures.sound.is_sound(),
            Figures::Killed(figures) => figures.sound.is_sound(),
        }
    }
}

/// What went wrong with messages; all zeros if nothing did.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Soundness {
    /// Told as delivered (or, to the absent, as sent), but never arrived.
    pub(crate) lost: u64,
    /// Arrived again on the same connection.
    pub(crate) doubled: u64,
    /// Arrived before one that was sent earlier.
    pub(crate) out_of_order: u64,
}

impl Soundness {
    pub(crate) fn is_sound(self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.out_of_order == 0
    }
}

/// Standard output and standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// Whether the result is one JSON object.
    pub(crate) json: bool,
}

impl Console {
    /// A line on standard error, at most one in two seconds.
    pub(crate) fn progress(text: fmt::Arguments<'_>) {
        let (now, last) = (clock::nanos(), LAST_PROGRESS.load(Ordering::Relaxed));
        if now >= last + PROGRESS_EVERY {
            LAST_PROGRESS.store(now, Ordering::Relaxed);
            // Nobody reads it any more, then.
            let _ = writeln!(io::stderr(), "posthouse-bench: {text}");
        }
    }

    /// The failure that ended the run.
    pub(crate) fn failure(failure: &Failure) {
        let _ = writeln!(io::stderr(), "posthouse-bench: {failure}");
    }

    /// The result.
    pub(crate) fn report(self, report: &Report) {
        let text = if self.json {
            serde_json::to_string(report).unwrap_or_default()
        } else {
            report.to_string()
        };
        let _ = writeln!(io::stdout(), "{text}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.machine;
        writeln!(
            f,
            "machine                  {} cores, {}, Linux {}",
            m.cores, m.processor, m.kernel
        )?;
        writeln!(f, "disk, fdatasync          p50 {} us, p99 {} us", m.fsync_us, m.fsync_p99_us)?;
        writeln!(f, "server                   {}", self.server)?;
        match &self.figures {
            Figures::Pairs(figures) => figures.fmt(f),
            Figures::Idle(figures) => figures.fmt(f),
            Figures::Offline(figures) => figures.fmt(f),
            Figures::Killed(figures) => figures.fmt(f),
        }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, max } = self;
        write!(f, "p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, max {max:.1} ms")
    }
}

impl fmt::Display for Soundness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, out_of_order } = self;
        write!(f, "{lost} lost, {doubled} doubled, {out_of_order} out of order")
    }
}

/// One line of the table, if there is something to say.
pub(crate) fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: Option<impl fmt::Display>,
) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "{name:<24} {value}"),
        None => Ok(()),
    }
}
