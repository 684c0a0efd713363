//! The layer.

#[cfg(feature = "tracing-opentelemetry-0_34")]
use std::num::NonZeroU64;

use tracing::Subscriber;
use tracing::span::Id;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

#[cfg(feature = "tracing-opentelemetry-0_34")]
use super::span::SpanRegion;
use super::span::{NO_OPERATION, Place};
use super::stack::{self, Due, Entered, Entering, Left};
use super::{ALL, OFF, here, known, names, regions_level};
use crate::account::{self, OwnerRef, Totals};
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
#[derive(Debug)]
pub struct Regions {
    number: u32,
    #[cfg(feature = "tracing-opentelemetry-0_34")]
    attributes: super::opentelemetry::Attributes,
}

/// Makes spans regions; see [`Regions`].
#[must_use = "add the layer to a subscriber"]
pub fn regions() -> Regions {
    Regions::default()
}

impl Default for Regions {
    fn default() -> Self {
        Self {
            number: known::next_layer(),
            #[cfg(feature = "tracing-opentelemetry-0_34")]
            attributes: super::opentelemetry::Attributes::default(),
        }
    }
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
        let span = id.into_u64();
        if !here::is_inside(span) {
            return;
        }
        let mark = account::mark();
        if let Some((left, due)) = here::leave(mark.as_ref(), span) {
            self.book(&left, due, &context);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        known::close(id.into_u64());
        #[cfg(feature = "tracing-opentelemetry-0_34")]
        self.attributes.close(&id, &context);
        #[cfg(not(feature = "tracing-opentelemetry-0_34"))]
        let _ = context;
    }
}

impl Regions {
    #[inline]
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
        let Some(operation) = operation_here(level) else {
            return;
        };
        if operation == NO_OPERATION && !self.wants_figures() {
            return;
        }
        let span = id.into_u64();
        let epoch = ledger().regions.epoch();
        let (place, times) = match here::known(self.number, span, operation, epoch) {
            Some(place) => (place, 0),
            None => match self.look_up(id, context, operation, epoch) {
                Some(found) => found,
                None => return,
            },
        };
        let Some(mark) = account::mark() else { return };
        let entering = Entering {
            span,
            place,
            times,
            weight: level,
            generation: state::generation(),
        };
        loop {
            match here::enter(&mark, entering) {
                Entered::Yes => return,
                Entered::InTheWay => match here::drop_top() {
                    Some(left) => self.book(&left, Some(left.due), context),
                    None => return,
                },
                Entered::Full => {
                    // The span counts all the same.
                    book(Due {
                        region: place.region,
                        cost: Totals::NONE,
                        times,
                        weight: level,
                    });
                    loss(PLACE, stack::STACK_FULL, 1);
                    return;
                }
            }
        }
    }

    /// Asks the registry, and remembers the answer.
    #[inline(never)]
    fn look_up<S>(
        &self,
        id: &Id,
        context: &Context<'_, S>,
        operation: u32,
        epoch: u32,
    ) -> Option<(Place, i64)>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let found = names::of_span(&context.span(id)?, operation, epoch);
        here::remember(self.number, id.into_u64(), found.0);
        Some(found)
    }

    /// Books what is due of a span that was left, and tells it to the span where that is asked for.
    #[inline]
    fn book<S>(&self, left: &Left, due: Option<Due>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(due) = due {
            self.book_now(left, due);
        }
        #[cfg(feature = "tracing-opentelemetry-0_34")]
        if self.wants_figures()
            && let Some(number) = NonZeroU64::new(left.span)
            && let Some(span) = context.span(&Id::from_non_zero_u64(number))
            && let Some(region) = span.extensions().get::<SpanRegion>()
        {
            region.figures.add_own(left.cost);
        }
        #[cfg(not(feature = "tracing-opentelemetry-0_34"))]
        let _ = context;
    }

    #[cold]
    #[inline(never)]
    fn book_now(&self, left: &Left, due: Due) {
        // What was entered in another stretch of measuring belongs to another agent's books.
        if left.generation == state::generation() {
            book(due);
            count(left.untold);
        }
    }
}

/// Number of the operation that is current, where its regions are measured at this level; [`NO_OPERATION`]
/// for another owner.
#[inline]
fn operation_here(level: u32) -> Option<u32> {
    account::with_current_owner(|owner| match owner {
        Some(OwnerRef::Bill(bill)) => {
            (level == ALL || bill.is_one_in(level)).then(|| bill.name_id())
        }
        // Outside of requests all or nothing is measured.
        Some(OwnerRef::Named(_) | OwnerRef::Split(_)) => (level == ALL).then_some(NO_OPERATION),
        None => None,
    })
    .flatten()
}

fn book(due: Due) {
    if due.region != RegionId::NONE {
        let mut shard = ledger().shard(account::shard_here());
        let regions = &mut shard.regions;
        regions.book(due.region, due.cost, due.times, due.weight);
    }
}

pub(super) fn count(untold: Untold) {
    if let Some(reason) = untold {
        loss(PLACE, reason, 1);
    }
}
