//! Logs: to standard error, for people or as JSON, filtered by module.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{Config, LogFormat},
    failure::{Exit, Failure},
};

/// Parses the filter of the setting `log.filter`.
///
/// # Errors
/// Which part of it is wrong.
pub fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|err| {
        format!("this is not a log filter ({err}); \"info\" and \"info,sqlx=warn\" are examples")
    })
}

/// Starts logging for the whole process.
///
/// # Errors
/// The filter is wrong, or logging was started before.
pub fn start(config: &Config) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(
            Exit::Other,
            format!("Logging cannot be started: {why}."),
            "Check the setting log.filter.",
        )
    };
    let filter = parse_filter(&config.log_filter).map_err(failed)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match config.log_format {
        LogFormat::Human => {
            let layer = layer.with_ansi(io::stderr().is_terminal()).with_target(false);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .map_err(|err| failed(err.to_string()))
}
