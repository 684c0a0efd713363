//! The sections of the page, one file each, in the order in which they are read.

pub(super) mod capacity;
pub(super) mod change;
pub(super) mod conservation;
pub(super) mod edges;
pub(super) mod entities;
pub(super) mod findings;
mod flames;
pub(super) mod header;
pub(super) mod map_figure;
pub(super) mod memory;
pub(super) mod method;
pub(super) mod origins;
pub(super) mod predictions;
pub(super) mod recommendations;
pub(super) mod services;
mod shapes;
mod sure;
pub(super) mod topologies;
pub(super) mod what_if;

use super::markup::Markup;

/// Renders a template. The compiler has checked it and it writes into a string, so that the error has no way to
/// come about; an empty section would be its sign.
fn rendered(template: &impl askama::Template) -> Markup {
    Markup::composed(template.render().unwrap_or_default())
}
