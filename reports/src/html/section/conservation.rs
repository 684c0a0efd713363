//! Conservation: does everything add up, to the nanosecond and to the byte.

use askama::Template;

use super::rendered;
use crate::decide::say::and_more;
use crate::document::{AccountRow, Document, EdgeConservation, FigureUnit, ServiceConservation};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::shown::{self, ROWS_SHOWN, left_out};
use crate::html::table::{CLASS_COLUMNS, Row, Table, figures, words};
use crate::html::text::{escape_text, name};

struct Service {
    slug: String,
    name: String,
    exact: bool,
    verdict: Markup,
    unexplained: Markup,
    over_limit: bool,
    limit: Markup,
    open: bool,
    accounts: Markup,
    processes: Markup,
}

#[derive(Template)]
#[template(path = "conservation.html")]
struct Conservation {
    any: bool,
    cpu_exact: bool,
    any_edges: bool,
    edges_exact: bool,
    summary: Markup,
    services: Vec<Service>,
    few: String,
    edges: Markup,
    losses: Markup,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let report = &document.conservation;
    let checked: Vec<&ServiceConservation> = shown::checked(document).collect();
    rendered(&Conservation {
        few: left_out(
            report.services.len(),
            checked.len(),
            "services, the largest and those that do not add up",
        ),
        any: !report.services.is_empty(),
        cpu_exact: report.cpu_exact,
        any_edges: !report.edges.is_empty(),
        edges_exact: report.edges_exact,
        summary: summary(&report.services, &checked, anchors),
        services: checked
            .iter()
            .enumerate()
            .map(|(index, service)| {
                let share = service.unexplained_share.value;
                Service {
                    slug: anchors.slug(&service.id).to_owned(),
                    name: name(&service.service),
                    exact: service.difference_ns == Some(0),
                    verdict: verdict(service),
                    unexplained: Markup::composed(figure::prose(&service.unexplained_share)),
                    over_limit: share.is_some_and(|share| share > service.unexplained_limit),
                    limit: Markup::composed(figure::said_in(
                        service.unexplained_limit,
                        FigureUnit::Ratio,
                    )),
                    open: report.services.len() == 1
                        || service.difference_ns.is_some_and(|d| d != 0),
                    accounts: accounts(index, service, anchors),
                    processes: processes(index, service, anchors),
                }
            })
            .collect(),
        edges: edges(document, anchors),
        losses: losses(document),
    })
}

fn verdict(service: &ServiceConservation) -> Markup {
    match service.difference_ns {
        Some(0) => Markup::text("adds up to the nanosecond"),
        Some(difference) => Markup::composed(format!(
            "differs by {} ns",
            figure::said(difference as f64, &format::integer(difference))
        )),
        None => Markup::text("cannot be checked: no process row came"),
    }
}

fn summary(
    services: &[ServiceConservation],
    checked: &[&ServiceConservation],
    anchors: &Anchors,
) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        figures("Accounts, ns", "Operations and owners together"),
        figures("+ in progress, ns", "Spent, not yet booked"),
        figures("= sum, ns", ""),
        figures(
            "Kernel, ns",
            "CPU time of its processes, as the kernel counts",
        ),
        figures("Difference, ns", "0 when everything adds up"),
        figures(
            "Without a name",
            "Share in unattributed and runtime or unwrapped",
        ),
    ];
    let rows = services
        .iter()
        .map(|service| {
            // A service without a part of its own is linked to here.
            let has_part = checked.iter().any(|other| other.id == service.id);
            let row = if has_part {
                Row::new("").head(&anchors.link_as(&service.id, &service.service))
            } else {
                Row::new(anchors.slug(&service.id)).head(&Markup::text(&name(&service.service)))
            };
            row.exact(Some(service.accounts_cpu_ns), "", &mut notes)
                .exact(service.in_progress_ns, ABSENT, &mut notes)
                .exact(service.sum_ns, ABSENT, &mut notes)
                .exact(service.process_cpu_ns, ABSENT, &mut notes)
                .exact(service.difference_ns, ABSENT, &mut notes)
                .figure(&service.unexplained_share, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        "t-conservation",
        "The sum check of each service",
        columns,
        rows,
        notes,
    )
    .at_most(ROWS_SHOWN)
    .markup()
}

const ABSENT: &str = "no process row came from this service";
const CLASS_ABSENT: &str = "this class is not told apart here";

fn account_row(account: &AccountRow, anchors: &Anchors, notes: &mut Notes) -> Row {
    let label = if account.name.is_empty() {
        &account.kind
    } else {
        &account.name
    };
    // Operations have their row with the service; an owner's row is here.
    let row = if account.kind == "operation" {
        Row::new("").head(&anchors.link_as(&account.row, label))
    } else {
        Row::new(anchors.slug(&account.row)).head(&Markup::text(&name(label)))
    };
    let mut row = row
        .text(&account.kind)
        .exact(Some(account.cpu_ns), "", notes)
        .figure(&account.share, Show::Plain, notes);
    for class in [
        account.handler_ns,
        account.encode_ns,
        account.decode_ns,
        account.protocol_ns,
        account.io_ns,
        account.store_ns,
    ] {
        row = row.exact(class, CLASS_ABSENT, notes);
    }
    row
}

fn accounts(index: usize, service: &ServiceConservation, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let mut columns = vec![
        words("Account", "All operations, then all owners"),
        words("Kind", ""),
        figures("CPU, ns", "Sum of the classes"),
        figures("Share", "Of the process CPU"),
    ];
    columns.extend(CLASS_COLUMNS);
    let mut rows: Vec<Row> = service
        .accounts
        .iter()
        .map(|account| account_row(account, anchors, &mut notes))
        .collect();
    for (label, value) in [
        ("Accounts together", Some(service.accounts_cpu_ns)),
        (
            "+ in progress: spent, not yet booked",
            service.in_progress_ns,
        ),
        ("= sum", service.sum_ns),
        ("CPU time by the kernel", service.process_cpu_ns),
        ("Difference", service.difference_ns),
    ] {
        rows.push(
            Row::new("")
                .strong()
                .head(&Markup::text(label))
                .empty(1)
                .exact(value, ABSENT, &mut notes)
                .empty(1 + CLASS_COLUMNS.len()),
        );
    }
    Table::new(
        &format!("tc{index}"),
        "Every account, exact",
        columns,
        rows,
        notes,
    )
    .fixed()
    .one_of_many(index)
    .markup()
}

fn processes(index: usize, service: &ServiceConservation, anchors: &Anchors) -> Markup {
    // Of a single process the table above says it all.
    if service.processes.len() < 2 {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Process", ""),
        figures("Kernel, ns", ""),
        figures("Accounts, ns", "unattributed left out"),
        figures("In progress, ns", ""),
        figures("Unattributed, ns", ""),
        figures("Difference, ns", ""),
    ];
    let rows = service
        .processes
        .iter()
        .map(|process| {
            Row::new("")
                .head(&anchors.link_as(&process.row, &process.instance))
                .exact(process.process_cpu_ns, ABSENT, &mut notes)
                .exact(process.accounts_cpu_ns, ABSENT, &mut notes)
                .exact(process.in_progress_ns, ABSENT, &mut notes)
                .exact(process.unattributed_ns, ABSENT, &mut notes)
                .exact(process.difference_ns, ABSENT, &mut notes)
        })
        .collect();
    Table::new(&format!("tc{index}p"), "By process", columns, rows, notes)
        .one_of_many(index)
        .markup()
}

fn edges(document: &Document, anchors: &Anchors) -> Markup {
    if document.conservation.edges.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Call", ""),
        words("Count", ""),
        figures("Sent", ""),
        figures("Received", "Messages delivered again taken off"),
        figures("Difference", ""),
    ];
    let absent = "that end has no agent";
    let checks = shown::compared(document);
    let same = |a: &EdgeConservation, b: &EdgeConservation| a.name == b.name && a.rows == b.rows;
    let rows = checks
        .chunk_by(|a, b| same(a, b))
        .flat_map(|call| {
            call.iter()
                .copied()
                .enumerate()
                .map(move |(index, edge)| (index, edge, call.len()))
        })
        .map(|(index, edge, counts)| {
            let row = Row::new("");
            let row = if index == 0 {
                let label = format!("{} ({})", edge.name, edge.transport);
                let head = match edge.rows.first() {
                    Some(row) => anchors.link_as(row, &label),
                    None => Markup::text(&name(&label)),
                };
                row.group_head(&head, counts)
            } else {
                row
            };
            row.text(&edge.what)
                .exact(edge.sent, absent, &mut notes)
                .exact(edge.received, absent, &mut notes)
                .exact(edge.difference, absent, &mut notes)
        })
        .collect();
    Table::new(
        "t-edge-check",
        "What was sent and what was received, call by call",
        columns,
        rows,
        notes,
    )
    .fixed()
    .quiet()
    .markup()
}

/// Where the agent counts detail of regions that it did not keep. A region is a piece of an operation, whose own account
/// has the whole of its CPU.
const REGIONS: &str = "agent.regions";

/// What was dropped, folded or refused, in a sentence's part: how often, where, and what it means for the CPU. Nothing
/// where nothing was.
pub(super) fn lost(document: &Document) -> Option<String> {
    let all = document.quality.lost.value.filter(|lost| *lost > 0.0)?;
    let losses = &document.conservation.losses;
    let times = figure::said(
        all,
        &format!(
            "{}\u{a0}{}",
            format::count(all),
            if all == 1.0 { "time" } else { "times" }
        ),
    );
    if losses.iter().all(|loss| loss.place == REGIONS) {
        return Some(format!(
            "{times} the agents left out detail of regions, the pieces within an operation, and nothing else was lost: the \
             CPU of a region stands in its operation’s account too"
        ));
    }
    let mut places: Vec<&str> = losses.iter().map(|loss| loss.place.as_str()).collect();
    places.sort_unstable();
    places.dedup();
    let more = and_more(places.len().saturating_sub(PLACES_SAID));
    let named: Vec<String> = places
        .into_iter()
        .take(PLACES_SAID)
        .map(|place| escape_text(&name(place)))
        .collect();
    let cpu = losses
        .iter()
        .filter_map(|loss| loss.lost_cpu_ns)
        .fold(0, i64::saturating_add);
    let cpu = if cpu > 0 {
        " (the table under Losses says how much CPU was in it)"
    } else {
        ""
    };
    Some(format!(
        "{times} something was dropped, folded or refused: {}{more}{cpu}",
        named.join(", ")
    ))
}

/// Places of losses that a sentence names.
const PLACES_SAID: usize = 4;

fn losses(document: &Document) -> Markup {
    if document.conservation.losses.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        words("Where", "Which bounded thing"),
        words("Why", ""),
        figures("Lost", "How many"),
        figures("CPU in it, ns", ""),
    ];
    let rows = document
        .conservation
        .losses
        .iter()
        .map(|loss| {
            Row::new("")
                .head(&Markup::text(&name(&loss.service)))
                .text(&loss.place)
                .text(&loss.reason)
                .exact(loss.lost, "the counter did not say", &mut notes)
                .exact(
                    loss.lost_cpu_ns,
                    "the CPU in it was not counted",
                    &mut notes,
                )
        })
        .collect();
    Table::new(
        "t-losses",
        "Dropped, folded or refused",
        columns,
        rows,
        notes,
    )
    .markup()
}
