//! Charts: one function per kind, one palette, no fetches and no colours in the drawing.
//!
//! Bars and lines are drawn by plotters, flame graphs laid out by inferno, the service map by a layout of our own. Each function returns one `<svg>`
//! that is to be embedded in a page: it has a `viewBox` and no size, a title and a description, and class names
//! (`f-…` fill, `s-…` stroke, see [`Ink::name`]) where colours would stand, so that the page's style sheet decides
//! between light, dark and print. Values that are not finite are left out; a chart of nothing is an empty frame, not
//! an error. The same input gives the same bytes.

mod bars;
mod flame;
mod ink;
mod lines;
mod map;
mod map_boundary;
mod map_labels;
mod map_layout;
mod scale;
mod svg;
mod width;

pub use bars::{Bar, BarChart, Segment, bars, stacked_bars};
pub use flame::{FRAMES_MAX, Flame, FlameFrame, flame};
pub use ink::Ink;
pub use lines::{Line, LineChart, LinePoint, lines};
pub use map::{MapEdge, MapNode, MapProposal, ServiceMap, service_map};
pub use scale::Scale;
pub use svg::{Caption, Layout};
