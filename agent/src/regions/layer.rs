//! The layer.

use tracing::Subscriber;
use tracing::span::Id;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::span::SpanRegion;
use super::stack::{self, Entered, Entering, Frame};
use super::{ALL, OFF, names, regions_level};
use crate::account::{self, Totals};
use crate::bill::Bill;
use crate::ledger::{RegionId, Untold, ledger, loss};
use crate::state;

/// The place of loss rows.
pub(super) const PLACE: &str = "agent.regions";

/// A layer of `tracing-subscriber` that books what each span costs to the operation inside which it runs.
///
/// Per operation and path of span names there is a row: CPU time without (*exclusive*) and with (*inclusive*)
/// the spans below, in ns, allocated bytes and allocations both ways, and how many spans there were.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
/// use tracing_subscriber::util::SubscriberInitExt as _;
///
/// #[tracing::instrument]
/// async fn price(order: u64) -> u64 {
///     order * 3
/// }
///
/// tracing_subscriber::registry()
///     .with(weighbridge_agent::regions()) // before an OpenTelemetry layer, see below
///     .init();
/// ```
///
/// **Whose.** Only work of the request counts in which the span was entered; what runs under another owner
/// meanwhile does not. Put [`layer()`](crate::layer()) outside of (in axum: after) a layer that opens a span per
/// request, such as tower-http's `TraceLayer`: its span is then a region of the request too.
///
/// **With tracing-opentelemetry** (feature `tracing-opentelemetry-0_34`) the figures land on the OpenTelemetry
/// span when it closes: `weighbridge.cpu.time.inclusive` and `.exclusive` in seconds, and with
/// [`Alloc`](crate::Alloc) `weighbridge.memory.allocated.*` in bytes and `weighbridge.memory.allocations.*`.
/// For this the layer must be added *before* the OpenTelemetry layer, which ends its span when it sees the
/// close; otherwise a loss row says so.
///
/// **Limits.** Rows: [`REGIONS_MAX`](crate::limits::REGIONS_MAX); depth:
/// [`REGION_DEPTH_MAX`](crate::limits::REGION_DEPTH_MAX); spans entered on a thread at once:
/// [`REGION_STACK_MAX`](crate::limits::REGION_STACK_MAX). Beyond them costs are booked to `__other__` or to the
/// span outside, and counted. When the agent costs too much, regions are the first thing it thins out: rows
/// then have the quality `sampled` and stand for all requests.
///
/// Before [`init`](crate::init), and while the agent is off, the layer does nothing.
#[derive(Debug, Default)]
pub struct Regions {
    #[cfg(feature = "tracing-opentelemetry-0_34")]
    attributes: super::opentelemetry::Attributes,
}

/// Makes spans regions; see [`Regions`].
#[must_use = "add the layer to a subscriber"]
pub fn regions() -> Regions {
    Regions::default()
}

impl<S> Layer<S> for Regions
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    #[cfg(feature = "tracing-opentelemetry-0_34")]
    fn on_register_dispatch(&self, subscriber: &tracing::Dispatch) {
        self.attributes.reach(subscriber);
    }

    #[cfg(feature = "tracing-opentelemetry-0_34")]
    fn on_layer(&mut self, subscriber: &mut S) {
        self.attributes.look_at(subscriber);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let level = regions_level();
        if level != OFF && state::measuring() {
            self.enter(id, &context, level);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        // Spans that nobody measures cost one look at an empty stack.
        if !stack::is_inside(id.into_non_zero_u64()) {
            return;
        }
        let mark = account::mark();
        let left =
            stack::with(|stack| stack.leave(mark.as_ref(), id.into_non_zero_u64())).flatten();
        if let Some((frame, untold)) = left {
            self.book(&frame, &context);
            count(untold);
        }
    }

    #[cfg(feature = "tracing-opentelemetry-0_34")]
    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.attributes.close(&id, &context);
    }
}

impl Regions {
    fn wants_figures(&self) -> bool {
        #[cfg(feature = "tracing-opentelemetry-0_34")]
        return self.attributes.are_wanted();
        #[cfg(not(feature = "tracing-opentelemetry-0_34"))]
        false
    }

    fn enter<S>(&self, id: &Id, context: &Context<'_, S>, level: u32)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if level != ALL && !Bill::current().is_some_and(|bill| bill.is_one_in(level)) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let Some(mark) = account::mark() else { return };
        if mark.operation.is_none() && !self.wants_figures() {
            return;
        }
        let (region, times) = names::of_span(&span, &mark);
        let entering = Entering {
            span: id.into_non_zero_u64(),
            region,
            times,
            weight: level,
        };
        loop {
            match stack::with(|stack| stack.enter(&mark, entering)) {
                Some(Entered::Yes) => return,
                Some(Entered::FirstTake(dead)) => {
                    self.book(&dead, context);
                    loss(PLACE, stack::NEVER_LEFT, 1);
                }
                Some(Entered::Full) | None => {
                    // The span counts all the same.
                    book(region, Totals::NONE, times, level);
                    loss(PLACE, stack::STACK_FULL, 1);
                    return;
                }
            }
        }
    }

    /// Books what a frame gathered to its region, and to its span where that is asked for.
    fn book<S>(&self, frame: &Frame, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        book(frame.region, frame.cost, frame.times, frame.weight);
        if self.wants_figures()
            && let Some(span) = context.span(&Id::from_non_zero_u64(frame.span))
            && let Some(region) = span.extensions().get::<SpanRegion>()
        {
            region.add_own(frame.cost);
        }
    }
}

fn book(region: RegionId, cost: Totals, times: i64, weight: u32) {
    if region != RegionId::NONE {
        ledger()
            .shard(account::shard_here())
            .regions
            .book(region, cost, times, weight);
    }
}

pub(super) fn count(untold: Untold) {
    if let Some(reason) = untold {
        loss(PLACE, reason, 1);
    }
}
