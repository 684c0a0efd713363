//! What the agent writes to the log.

use std::fmt::{Debug, Write as _};
use std::sync::{LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static TEXT: Mutex<String> = Mutex::new(String::new());
static INSTALLED: LazyLock<()> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(Log).unwrap();
});

/// Keeps what the agent logs from now on, on all levels.
pub fn keep() {
    LazyLock::force(&INSTALLED);
}

/// What it logged.
pub fn text() -> String {
    TEXT.lock().unwrap().clone()
}

struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("weighbridge")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = TEXT.lock().unwrap();
        writeln!(text, "{field} = {value:?}").unwrap();
    }
}
