//! Encoding and decoding of messages, told apart from the handler.

use weighbridge_wire::Class;

use crate::account::timed_class;
use crate::bill::Bill;
use crate::ledger::EdgeFigures;

#[cfg(feature = "axum-0_8")]
mod json;
mod side;
#[cfg(feature = "tonic-0_14")]
pub mod tonic;

#[cfg(feature = "axum-0_8")]
pub use json::Json;
pub(crate) use side::{answer_was_read, answering, calling, request_was_read};

/// Runs the encoding of the current request's answer in class `encode`.
///
/// ```
/// let body = weighbridge_agent::encode(|| b"rendered".to_vec());
/// ```
pub fn encode<R>(f: impl FnOnce() -> R) -> R {
    timed(Class::Encode, f, |figures| &mut figures.encode_ns)
}

/// Runs the decoding of the current request's own message in class `decode`.
pub fn decode<R>(f: impl FnOnce() -> R) -> R {
    timed(Class::Decode, f, |figures| &mut figures.decode_ns)
}

fn timed<R>(
    class: Class,
    f: impl FnOnce() -> R,
    figure: fn(&mut EdgeFigures) -> &mut Option<i64>,
) -> R {
    let Some(bill) = Bill::current_weighed() else {
        // Encoding that belongs to no message is the owner's own work.
        return f();
    };
    let (result, cpu_ns) = timed_class(class, f);
    bill.with_callee(|figures| {
        let sum = figure(figures);
        *sum = Some(sum.unwrap_or(0) + cpu_ns);
    });
    result
}
