//! Queue formulas: how long work waits for a server (here: a core).
//!
//! Every function takes rates and times in one unit of time (seconds unless said otherwise), returns
//! `None` where the formula has no answer (saturation, no servers, figures that are not finite), and never
//! returns a number that is not finite. Sources and limits stand in `docs/decisions.md`.

mod cores;
mod erlang;
mod laws;
mod mixture;
mod network;
mod section;
mod tail;
mod usl;
mod wait;

pub use cores::Cores;
pub use erlang::{erlang_b, erlang_c};
pub use laws::{mean_in_system, utilisation, window_edge_error};
pub use mixture::{ClassLoad, Mixture};
pub use network::{Closed, Open, POPULATIONS_MAX, closed, closed_classes, open_classes};
pub use section::Section;
pub use tail::WaitTail;
pub use usl::{USL_POINTS_MIN, USL_REACH_MIN, Usl, UslFit, UslRefusal, fit_serial_share, fit_usl};
pub use wait::{MmcStation, allen_cunneen_wait, sakasegawa_wait};

/// Passes a finite, non-negative number.
fn finite(x: f64) -> Option<f64> {
    (x.is_finite() && x >= 0.0).then_some(x)
}
