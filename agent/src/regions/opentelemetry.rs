//! What a region cost, as attributes of its OpenTelemetry span.

use std::any::type_name;
use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::trace::TraceContextExt as _;
use tracing::Subscriber;
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::span::Id;
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::layer::PLACE;
use super::span::{NO_OPERATION, Place, SpanRegion};
use crate::account::Totals;
use crate::alloc;
use crate::ledger::loss;

/// CPU time of the span and the spans below it, in seconds.
pub(super) const CPU_INCLUSIVE: &str = "weighbridge.cpu.time.inclusive";
/// CPU time of the span itself, in seconds.
pub(super) const CPU_EXCLUSIVE: &str = "weighbridge.cpu.time.exclusive";
/// Bytes allocated by the span and the spans below it.
pub(super) const ALLOCATED_INCLUSIVE: &str = "weighbridge.memory.allocated.inclusive";
/// Bytes allocated by the span itself.
pub(super) const ALLOCATED_EXCLUSIVE: &str = "weighbridge.memory.allocated.exclusive";
/// Allocations of the span and the spans below it.
pub(super) const ALLOCATIONS_INCLUSIVE: &str = "weighbridge.memory.allocations.inclusive";
/// Allocations of the span itself.
pub(super) const ALLOCATIONS_EXCLUSIVE: &str = "weighbridge.memory.allocations.exclusive";

/// How the layer reaches the OpenTelemetry spans beside it.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    dispatch: OnceLock<WeakDispatch>,
    /// True when an OpenTelemetry layer was added before ours: it ends its spans before we see the close.
    too_late: bool,
}

impl Attributes {
    pub(super) fn reach(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    /// Looks at the subscriber that the layer is put on. Its layers cannot be asked, but its type names them;
    /// a name that tells nothing only costs the warning.
    pub(super) fn look_at<S>(&mut self, _subscriber: &S) {
        self.too_late = type_name::<S>().contains("OpenTelemetryLayer");
    }

    pub(super) fn are_wanted(&self) -> bool {
        self.dispatch.get().is_some()
    }

    /// Hands a span's figures to its OpenTelemetry span, and to the span outside.
    pub(super) fn close<S>(&self, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(span) = context.span(id) else { return };
        let ((operation, request), exclusive, inclusive, whole) = {
            let extensions = span.extensions();
            let Some(region) = extensions.get::<SpanRegion>() else {
                return;
            };
            (
                (region.place.operation, region.figures.request),
                region.figures.exclusive(),
                region.figures.inclusive(),
                region.figures.is_whole(),
            )
        };
        if let Some(outer) = span.parent() {
            let mut extensions = outer.extensions_mut();
            if let Some(region) = extensions.get_mut::<SpanRegion>() {
                // Of the same request, or around it. A request inside another one has its own bill.
                if [request, 0].contains(&region.figures.request) {
                    region.figures.add_below(inclusive);
                }
            } else if operation != NO_OPERATION {
                let region = SpanRegion::new(Place::NONE, false);
                region.figures.add_below(inclusive);
                extensions.insert(region);
            }
        }
        if self.too_late {
            loss(
                PLACE,
                "regions() must be added before the OpenTelemetry layer",
                1,
            );
            return;
        }
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else {
            return;
        };
        // No extension of the span may be borrowed here. A span that OpenTelemetry does not see has none.
        if whole && let Some(otel) = get_otel_context(id, &dispatch) {
            otel.span().set_attributes(figures(exclusive, inclusive));
        }
    }
}

fn figures(exclusive: Totals, inclusive: Totals) -> impl Iterator<Item = KeyValue> {
    let seconds = |ns: i64| ns as f64 / 1e9;
    let cpu = [
        KeyValue::new(CPU_INCLUSIVE, seconds(inclusive.cpu_ns)),
        KeyValue::new(CPU_EXCLUSIVE, seconds(exclusive.cpu_ns)),
    ];
    // Where nobody counts, memory is unknown, not zero.
    let memory = alloc::is_installed().then(|| {
        [
            KeyValue::new(ALLOCATED_INCLUSIVE, inclusive.alloc_bytes),
            KeyValue::new(ALLOCATED_EXCLUSIVE, exclusive.alloc_bytes),
            KeyValue::new(ALLOCATIONS_INCLUSIVE, inclusive.alloc_count),
            KeyValue::new(ALLOCATIONS_EXCLUSIVE, exclusive.alloc_count),
        ]
    });
    cpu.into_iter().chain(memory.into_iter().flatten())
}
