//! Which call the request depended on.

use super::Span;

/// Adds to each call what of its time lay on the critical path of a request that ended at `end_ns`.
///
/// The path is followed backwards from the end. The call that ended last before an instant is what the request
/// waited for until then; the path goes on at its start, since nothing that was still under way then can have
/// made it begin. Only where a call was under way at that instant that itself began after the last one had
/// ended, that call is taken, up to the instant. What lies between is the request's own.
pub(super) fn path(spans: &[Span], end_ns: u64, critical_ns: &mut [u64]) {
    let mut now_ns = end_ns;
    while let Some(span) = before(spans, now_ns) {
        critical_ns[span.call] += span.end_ns.min(now_ns) - span.start_ns;
        // Spans that are taken are longer than nothing, so this ends.
        now_ns = span.start_ns;
    }
}

fn before(spans: &[Span], now_ns: u64) -> Option<&Span> {
    let spans = || spans.iter().filter(|span| span.start_ns < span.end_ns);
    let mut last: Option<&Span> = None;
    for span in spans().filter(|span| span.end_ns <= now_ns) {
        // Of those that ended together the one that began first; spans are sorted.
        if last.is_none_or(|known| span.end_ns > known.end_ns) {
            last = Some(span);
        }
    }
    let ended_ns = last.map_or(0, |span| span.end_ns);
    spans()
        .find(|span| (ended_ns..now_ns).contains(&span.start_ns) && span.end_ns > now_ns)
        .or(last)
}
