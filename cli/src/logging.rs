//! What libraries say through `tracing` goes to standard error.

use tracing_subscriber::EnvFilter;
use weighbridge_collector::LogFormat;

use crate::output;

/// Starts to show events: `WEIGHBRIDGE_LOG` (as `RUST_LOG`), default `info`; a filter that cannot be read is said
/// and the default used. Dependencies speak from `warn` on.
pub(crate) fn start(format: LogFormat) {
    const DEFAULT: &str = "warn,weighbridge=info,weighbridge_agent=info,weighbridge_collector=info,weighbridge_demo=info";
    let wanted = std::env::var("WEIGHBRIDGE_LOG").unwrap_or_default();
    let filter = if wanted.is_empty() {
        EnvFilter::new(DEFAULT)
    } else {
        EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
            output::note(&format!(
                "WEIGHBRIDGE_LOG cannot be read ({error}); using {DEFAULT}"
            ));
            EnvFilter::new(DEFAULT)
        })
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start is a bug of nobody's concern: the first one keeps working.
    let _ = match format {
        LogFormat::Text => subscriber.with_ansi(output::colored()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}
