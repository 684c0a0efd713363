//! Builds the document from the model, one file per part.

mod capacity;
mod conservation;
mod edges;
mod ends;
mod entities;
mod figures;
mod growth;
mod ignore;
mod inputs;
mod latency;
mod map;
mod obstacles;
mod origins;
mod paths;
mod quality;
mod regions;
mod services;
mod shapes;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod topologies;
mod window;

use weighbridge_wire::FoldedRange;

use crate::document::{Document, EntityReport, Recommendation, SCHEMA_VERSION};
use crate::model::Model;
use crate::topology::Weighed;
use crate::{Options, decide, plan};

pub(crate) use entities::{copy_links, place_row};
pub(crate) use figures::figure as optional;
pub(crate) use map::{MANY_CALLS, map};

impl Document {
    /// The report on a range: the same range and options give the same document, whatever the order of the
    /// windows in it.
    #[must_use]
    pub fn build(range: &FoldedRange, options: &Options) -> Self {
        let model = Model::new(range);
        let options = &plan::with_growth(&model, options);
        let weighed = Weighed::of(&model, options);
        let mut topologies = None;
        let mut document = Self::of(&model, options, |entities| {
            let context = decide::Context::new(&model, options, entities, &weighed);
            let said = decide::recommendations(&context);
            topologies = Some(topologies::topologies(&context, &said));
            said
        });
        document.topologies = topologies;
        document
    }

    /// The report on a model, with recommendations from elsewhere.
    pub(crate) fn of(
        model: &Model,
        options: &Options,
        recommend: impl FnOnce(&[EntityReport]) -> Vec<Recommendation>,
    ) -> Self {
        let entities = entities::entities(model);
        let (origins, latency) = origins::origins(model, options);
        let edges = edges::edges(model);
        let all = recommend(&entities);
        let mut window = window::window(model, options, &edges);
        let (recommendations, suppressed) = ignore::apply(all, options, &mut window);
        let services = services::services(model, &entities);
        Self {
            schema_version: SCHEMA_VERSION,
            window,
            map: Some(map(&services, &edges, &origins)),
            services,
            origins,
            edges,
            entities,
            conservation: conservation::conservation(model, options),
            capacity: capacity::capacity(model, options, latency),
            recommendations,
            suppressed,
            change: None,
            topologies: None,
            quality: quality::quality(model, options),
            after: None,
        }
    }
}
