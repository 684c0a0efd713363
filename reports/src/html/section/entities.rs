//! Entities: which data stands where, and what its copies cost.

use askama::Template;

use super::rendered;
use crate::document::{CopyCost, CopyFinding, Document, EntityReport, Obstacle, ObstacleKind};
use crate::html::anchors::Anchors;
use crate::html::figure::{Notes, Show};
use crate::html::markup::Markup;
use crate::html::shown::{PARTS_SHOWN, ROWS_SHOWN, left_out};
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Obstacles in the table; `report.json` has all.
const OBSTACLES_SHOWN: usize = 60;

struct Entity {
    slug: String,
    name: String,
    finding: &'static str,
    owner: String,
    cost: Markup,
    evidence: Vec<Markup>,
    uses: Markup,
}

#[derive(Template)]
#[template(path = "entities.html")]
struct Entities {
    table: Markup,
    entities: Vec<Entity>,
    few: String,
    obstacles: Markup,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    rendered(&Entities {
        obstacles: obstacles(document, anchors),
        table: table(document, anchors),
        few: left_out(document.entities.len(), PARTS_SHOWN, "entities"),
        entities: document
            .entities
            .iter()
            .take(PARTS_SHOWN)
            .enumerate()
            .map(|(index, entity)| Entity {
                slug: anchors.slug(&entity.id).to_owned(),
                name: name(&entity.entity),
                finding: finding(entity),
                owner: entity.owner.as_deref().map(name).unwrap_or_default(),
                cost: entity
                    .cost
                    .as_ref()
                    .map(|c| cost(index, c))
                    .unwrap_or_default(),
                evidence: entity
                    .evidence
                    .iter()
                    .map(|evidence| {
                        let edge = anchors
                            .link(&evidence.edge)
                            .map_or_else(String::new, |link| {
                                format!(" <span class=\"rows\">{link}</span>")
                            });
                        Markup::composed(format!(
                            "{}{edge}",
                            escape_text(&text::sentence(&evidence.sentence))
                        ))
                    })
                    .collect(),
                uses: uses(index, entity, anchors),
            })
            .collect(),
    })
}

/// What an obstacle is called. Background work has a name that the program gave it, a service's or a class's perhaps.
pub(super) fn obstacle_name(obstacle: &Obstacle) -> String {
    let plain = name(&obstacle.name);
    if obstacle.kind == ObstacleKind::CronSingleton && !obstacle.name.starts_with("JOB ") {
        format!("background job “{plain}”")
    } else if obstacle.kind == ObstacleKind::ForeignReads {
        format!("service {plain}")
    } else {
        plain
    }
}

/// The kind of an obstacle in words.
pub(super) fn obstacle_words(kind: ObstacleKind) -> &'static str {
    match kind {
        ObstacleKind::WrittenByOthers => "written by others too",
        ObstacleKind::ForeignReads => "data asked of another service",
        ObstacleKind::MultiKey => "against sharding only: several keys in one request",
        ObstacleKind::Skew => "against sharding only: one key takes much of the load",
        ObstacleKind::SerialSection => "only one at a time",
        ObstacleKind::CronSingleton => "a job that must run once",
        ObstacleKind::StateInMemory => "against replicas only: state in memory",
    }
}

/// What stands in the way of replicating or sharding a service, by name.
fn obstacles(document: &Document, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        words("Obstacle", ""),
        words("Which", ""),
        figures("How much", ""),
        words("What it means", ""),
    ];
    let rows: Vec<Row> = document
        .services
        .iter()
        .flat_map(|service| service.obstacles.iter().map(move |o| (service, o)))
        .map(|(service, obstacle)| {
            let links: Vec<String> = obstacle
                .rows
                .iter()
                .filter_map(|row| anchors.link(row))
                .take(3)
                .map(|link| link.to_string())
                .collect();
            Row::new("")
                .head(&anchors.link_as(&service.id, &service.service))
                .words(obstacle_words(obstacle.kind))
                .words(&obstacle_name(obstacle))
                .figure(&obstacle.figure, Show::Plain, &mut notes)
                .markup(&Markup::composed(format!(
                    "{} <span class=\"rows\">{}</span>",
                    escape_text(&text::sentence(&obstacle.sentence)),
                    links.join(" · ")
                )))
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new("t-obstacles", "Obstacles, by service", columns, rows, notes)
        .cards()
        .at_most(OBSTACLES_SHOWN)
        .markup()
}

fn finding(entity: &EntityReport) -> &'static str {
    match entity.finding {
        CopyFinding::Single => "in one place",
        CopyFinding::Copies => "copied",
        CopyFinding::SameNameOnly => "same name, not shown to be a copy",
    }
}

fn table(document: &Document, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Entity", ""),
        words("Service", ""),
        words("Database", ""),
        words(
            "Place",
            "Is this the owner’s, a copy of it, or only the same name?",
        ),
        figures("Rows", ""),
        figures("Size", "Bytes that it occupies, indexes included"),
        figures("Reads/s", "Statements that read it, in a second"),
        figures("Writes/s", "Statements that write it, in a second"),
    ];
    let rows = document
        .entities
        .iter()
        .flat_map(|entity| entity.places.iter().map(move |place| (entity, place)))
        .map(|(entity, place)| {
            let role = match entity.finding {
                CopyFinding::Single => "only place",
                CopyFinding::SameNameOnly => "same name",
                CopyFinding::Copies if place.copy => "copy",
                CopyFinding::Copies if entity.owner.as_deref() == Some(place.service.as_str()) => {
                    "owner"
                }
                CopyFinding::Copies => "same name",
            };
            Row::new(anchors.slug(&place.id))
                .head(&anchors.link_as(&entity.id, &entity.entity))
                .text(&place.service)
                .text(&place.database)
                .words(role)
                .figure(&place.rows, Show::Plain, &mut notes)
                .figure(&place.size, Show::Plain, &mut notes)
                .figure(&place.reads, Show::Bare, &mut notes)
                .figure(&place.writes, Show::Bare, &mut notes)
        })
        .collect();
    Table::new(
        "t-entities",
        "Where each entity stands",
        columns,
        rows,
        notes,
    )
    .at_most(ROWS_SHOWN)
    .markup()
}

fn cost(index: usize, cost: &CopyCost) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![words("What", ""), figures("Cost", "")];
    let mut rows = vec![
        Row::new("")
            .head(&Markup::text("Copies beside the owner’s"))
            .number(cost.copies),
    ];
    for (label, figure) in [
        ("Storage of the copies", &cost.storage),
        ("Messages that keep them in step", &cost.messages),
        ("Their body bytes", &cost.message_bytes),
        ("CPU of carrying them", &cost.message_cpu),
        ("CPU of applying them (parallel logic)", &cost.apply_cpu),
        ("CPU together", &cost.total_cpu),
        ("CPU for each message applied", &cost.per_message),
        ("How old a copy may be, mean", &cost.staleness),
    ] {
        rows.push(Row::new("").head(&Markup::text(label)).interval(
            figure,
            Show::Plain,
            &mut notes,
        ));
    }
    Table::new(
        &format!("te{index}c"),
        "What the copies cost",
        columns,
        rows,
        notes,
    )
    .fixed()
    .one_of_many(index)
    .markup()
}

fn uses(index: usize, entity: &EntityReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        words("Service", ""),
        words("Access", ""),
        figures("Statements", "In the range"),
        figures("Per request", "Statements for each ended request"),
        figures("Rows", "Touched, where the client shows them"),
        figures("CPU", "Inside the database client"),
        figures(
            "Many keys",
            "Share of the requests that touched more than one key",
        ),
    ];
    let rows: Vec<Row> = entity
        .places
        .iter()
        .flat_map(|place| place.uses.iter().map(move |used| (place, used)))
        .map(|(place, used)| {
            let operation = if used.operation.is_empty() {
                "(background)"
            } else {
                &used.operation
            };
            Row::new("")
                .head(&anchors.link_as(&used.row, operation))
                .text(&place.service)
                .text(&used.access)
                .figure(&used.statements, Show::Plain, &mut notes)
                .figure(&used.statements_per_request, Show::Plain, &mut notes)
                .figure(&used.rows, Show::Plain, &mut notes)
                .figure(&used.cpu_store, Show::Plain, &mut notes)
                .figure(&used.multi_key_share, Show::Plain, &mut notes)
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        &format!("te{index}u"),
        "Who reads and writes it",
        columns,
        rows,
        notes,
    )
    .one_of_many(index)
    .at_most(ROWS_SHOWN)
    .markup()
}
