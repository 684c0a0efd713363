//! Sending what was measured before a panic ends the process.

use std::panic;
use std::sync::Once;
use std::time::Duration;

use super::life;

/// Makes each panic end the window and send it, for at most `patience` and half a second, before the panic hook that is
/// set now runs: for programs in which a panic ends the process, because they are built with `panic = "abort"` or have
/// a hook that aborts. Without this the windows since the last acknowledgement are lost then. What the thread that
/// panics has not booked yet is lost with it.
///
/// Do not call it where panics are caught and the program goes on: each would hold its thread up for as long. Call it
/// after a hook of your own is set, since setting one later replaces this; only the first call counts. It needs no
/// agent: while none runs, a panic is not held up.
///
/// ```
/// use std::time::Duration;
/// let _agent = weighbridge_agent::init();
/// weighbridge_agent::flush_on_panic(Duration::from_secs(1));
/// ```
pub fn flush_on_panic(patience: Duration) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            life::flush_elsewhere(patience);
            before(info);
        }));
    });
}
