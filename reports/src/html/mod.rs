//! The document as one page that fetches nothing.
//!
//! [`render`] gives a whole HTML file: style, script, charts and the document itself are in it, and its Content
//! Security Policy forbids every fetch and every style and script but its own two, by their hashes. It opens from a
//! disk, works without its script (which sorts tables, shows exact values and saves the document), follows light,
//! dark and print, and says of every figure either its value or why there is none.
//!
//! Everything that a document holds is treated as hostile: names pass [`text::sanitize`] and are escaped, the
//! embedded document passes [`text::embed_json`], and identifiers are made of letters, digits and hyphens only.

mod anchors;
mod change_page;
mod figure;
pub mod format;
mod live;
mod markup;
mod page;
mod picture;
mod section;
mod shown;
mod table;
pub mod text;

pub(crate) use change_page::headline as change_headline;
pub use change_page::render_change;
pub use live::{render_live, script, style};
pub use page::render;
