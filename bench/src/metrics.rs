//! Counters of the server, from its operator's listener in the Prometheus text format.

use std::{collections::HashMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Largest page that is read, in bytes.
const MAX_PAGE: u64 = 4 * 1024 * 1024;

/// Counters at one moment; those with labels are summed.
#[derive(Debug, Default)]
pub(crate) struct Counters(HashMap<String, f64>);

impl Counters {
    /// Reads the page; nothing if it cannot be had, since figures do not hang on it.
    pub(crate) async fn read(listener: Option<SocketAddr>) -> Self {
        let Some(listener) = listener else { return Self::default() };
        fetch(listener).await.map_or_else(|_| Self::default(), |page| Self::parse(&page))
    }

    fn parse(page: &str) -> Self {
        let mut counters = HashMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split_once('{').map_or(series, |(name, _)| name);
            if let Ok(value) = value.parse::<f64>() {
                *counters.entry(name.to_owned()).or_insert(0.0) += value;
            }
        }
        Self(counters)
    }

    /// By how much a counter has risen since `earlier`.
    pub(crate) fn rise(&self, earlier: &Self, name: &str) -> Option<f64> {
        Some(self.0.get(name)? - earlier.0.get(name)?)
    }

    /// How much one counter has risen for each one of another.
    pub(crate) fn ratio(&self, earlier: &Self, over: &str, under: &str) -> Option<f64> {
        let under = self.rise(earlier, under).filter(|under| *under > 0.0)?;
        Some(self.rise(earlier, over)? / under)
    }
}

async fn fetch(listener: SocketAddr) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect(listener).await?;
    // HTTP/1.0: the answer ends with the connection and is not chunked.
    tcp.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = String::new();
    tcp.take(MAX_PAGE).read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_rise() {
        let before = Counters::parse("HTTP/1.1 200 OK\r\n\r\n# HELP a x\na 3\nb{c=\"d e\"} 1\n");
        let after = Counters::parse("a 9\nb{c=\"d e\"} 2\nb{c=\"f\"} 2\n");
        assert_eq!(after.rise(&before, "a"), Some(6.0));
        assert_eq!(after.ratio(&before, "a", "b"), Some(2.0));
        assert_eq!(after.ratio(&before, "a", "c"), None);
    }
}
