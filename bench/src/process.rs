//! What the kernel says of the server's processes (proc(5)).

use std::{fs, path::PathBuf};

use crate::failure::Failure;

/// Microseconds of a clock tick: `/proc` counts in hundredths of a second on every Linux (USER_HZ).
const TICK_US: u64 = 10_000;

/// CPU time of processes since they started, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// In the program.
    pub(crate) user: u64,
    /// In the kernel for it.
    pub(crate) system: u64,
}

impl Cpu {
    /// The time used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    /// Both together.
    pub(crate) fn total(self) -> u64 {
        self.user + self.system
    }
}

/// The CPU time of these processes and of the children that they have waited for.
pub(crate) fn cpu(pids: &[u32]) -> Result<Cpu, Failure> {
    let mut sum = Cpu { user: 0, system: 0 };
    for pid in pids {
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let (user, system) = parse_stat(&read(&path)?).ok_or(Failure::Odd { path })?;
        sum.user += user * TICK_US;
        sum.system += system * TICK_US;
    }
    Ok(sum)
}

/// Resident memory of these processes now, in KiB.
pub(crate) fn resident_kib(pids: &[u32]) -> Result<u64, Failure> {
    pids.iter()
        .map(|pid| {
            let path = PathBuf::from(format!("/proc/{pid}/status"));
            parse_field(&read(&path)?, "VmRSS:").ok_or(Failure::Odd { path })
        })
        .sum()
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::Read { path: path.clone(), source })
}

/// utime and stime, in ticks: the 14th and 15th field. The second one is the program's name in
/// parentheses, which may hold anything, so counting starts behind the last parenthesis.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn parse_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_words() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 9 0 0 0 120 30 1 2 20 0 3 0 5 6 7";
        assert_eq!(parse_stat(stat), Some((120, 30)));
        assert_eq!(parse_field("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn sees_its_own_process() {
        let own = [std::process::id()];
        assert!(resident_kib(&own).unwrap() > 0);
        let before = cpu(&own).unwrap();
        let mut sum = 0_u64;
        while cpu(&own).unwrap().since(before).total() < 30_000 {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(cpu(&own).unwrap().total() > before.total());
    }
}
