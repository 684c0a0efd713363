//! One CSV file per table.

mod change;
mod checks;
mod edges;
mod plans;

use crate::Document;
use crate::document::{ClassFigures, Figure};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvTable {
    /// Name of the table; a file name without its ending.
    pub name: &'static str,
    /// RFC 4180, with a header line.
    pub text: String,
}

/// All tables. Times are in nanoseconds, memory in bytes, shares from 0 to 1; an unknown figure is an empty
/// cell. A cell that a spreadsheet could take for a formula (beginning with `=`, `+`, `-`, `@`, a tab or a
/// carriage return, and not a number) gets an apostrophe in front.
#[must_use]
pub fn csv(document: &Document) -> Vec<CsvTable> {
    vec![
        services(document),
        operations(document),
        owners(document),
        origins(document),
        edges::origin_services(document),
        edges::origin_operations(document),
        edges(document),
        edges::sides(document),
        edges::prices(document),
        edges::call_shapes(document),
        entities(document),
        edges::copies(document),
        capacity(document),
        plans::capacity_services(document),
        plans::growth(document),
        checks::accounts(document),
        checks::sums(document),
        checks::processes(document),
        checks::sent_received(document),
        checks::losses(document),
        checks::clocks(document),
        change::recommendations(document),
        change::thresholds(document),
        change::turns(document),
        change::changes(document),
        change::outcomes(document),
        change::scores(document),
        plans::search(document),
        plans::topologies(document),
        plans::deployables(document),
        plans::instances(document),
        plans::regions(document),
        plans::latency(document),
        plans::obstacles(document),
    ]
}

struct Table {
    name: &'static str,
    text: String,
}

impl Table {
    fn new(name: &'static str, header: &[&str]) -> Self {
        let mut table = Self {
            name,
            text: String::new(),
        };
        table.row(
            &header
                .iter()
                .map(|cell| (*cell).to_owned())
                .collect::<Vec<_>>(),
        );
        table
    }

    fn row(&mut self, cells: &[String]) {
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        self.text.push_str(&cells.join(","));
        self.text.push_str("\r\n");
    }

    fn done(self) -> CsvTable {
        CsvTable {
            name: self.name,
            text: self.text,
        }
    }
}

/// What a column holds of a row.
type Cell<'a, T> = &'a dyn Fn(&T) -> String;

/// A table by its columns: each with its head and what it holds of a row.
fn by_columns<T>(
    name: &'static str,
    rows: impl IntoIterator<Item = T>,
    columns: &[(&str, Cell<'_, T>)],
) -> CsvTable {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let mut table = Table::new(name, &heads);
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(&row)).collect();
        table.row(&cells);
    }
    table.done()
}

/// Spreadsheets leave white space and characters without width out before they look for a formula, and take full-width
/// signs for the plain ones.
fn quoted(cell: &str) -> String {
    let first = cell.trim_start_matches(|c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    });
    let begins = cell.starts_with(['\t', '\r'])
        || first.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let is_number = cell.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && cell
            .bytes()
            .skip(1)
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'-' | b'+'))
        && cell.parse::<f64>().is_ok();
    let formula = begins && !is_number;
    let cell = if formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if formula || cell.contains([',', '"', '\n', '\r', '\t']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn whole(value: Option<i64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn value(figure: &Figure) -> String {
    number(figure.value)
}

fn interval(figure: &Figure) -> [String; 3] {
    [value(figure), number(figure.low), number(figure.high)]
}

fn classes(cpu: &ClassFigures) -> Vec<String> {
    std::iter::once(&cpu.total)
        .chain(cpu.each().map(|(_, figure)| figure))
        .map(value)
        .collect()
}

fn services(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "services",
        &[
            "service",
            "instances",
            "cores",
            "cores_low",
            "cores_high",
            "cpu_process_ns",
            "message_share",
            "agent_share",
            "base_cores",
            "rss_bytes",
            "rss_peak_bytes",
            "threads",
            "cores_limit",
            "rss_init_bytes",
            "base_rss_bytes",
            "imbalance",
            "cpu_operations_ns",
            "cpu_by_class_ns",
            "handler_ns",
            "encode_ns",
            "decode_ns",
            "protocol_ns",
            "io_ns",
            "store_ns",
        ],
    );
    for s in &document.services {
        let [cores, low, high] = interval(&s.cpu_cores);
        let mut row = vec![
            s.service.clone(),
            value(&s.instance_count),
            cores,
            low,
            high,
            value(&s.cpu_process),
            value(&s.message_share),
            value(&s.agent.share),
            value(&s.base.cpu),
            value(&s.rss),
            value(&s.rss_peak),
            value(&s.threads),
            value(&s.cores_limit),
            value(&s.rss_init),
            value(&s.base.rss),
            value(&s.imbalance),
            value(&s.cpu_operations),
        ];
        row.extend(classes(&s.cpu_by_class));
        table.row(&row);
    }
    table.done()
}

fn operations(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "operations",
        &[
            "service",
            "component",
            "operation",
            "class",
            "ended",
            "rate_per_s",
            "errors",
            "client_errors",
            "cpu_ns_per_request",
            "handler_ns",
            "encode_ns",
            "decode_ns",
            "protocol_ns",
            "io_ns",
            "store_ns",
            "cpu_low_ns",
            "cpu_high_ns",
            "wall_p50_ns",
            "wall_p95_ns",
            "wall_p99_ns",
            "alloc_bytes_per_request",
            "peak_live_bytes",
            "service_time_cs2",
            "arrival_dispersion",
            "cores",
            "share_of_service",
            "edge_error",
            "request_cpu_p50_ns",
            "request_cpu_p99_ns",
            "wait_call_ns",
            "wait_store_ns",
            "wait_other_ns",
            "in_flight",
            "in_flight_max",
            "peak_live_mean_bytes",
            "alloc_count_per_request",
            "retained_bytes",
            "retained_low_bytes",
            "retained_high_bytes",
        ],
    );
    for s in &document.services {
        for o in &s.operations {
            let mut row = vec![
                s.service.clone(),
                o.component.clone(),
                o.operation.clone(),
                o.class.clone(),
                value(&o.ended),
                value(&o.rate),
                value(&o.errors),
                value(&o.client_errors),
            ];
            row.extend(classes(&o.cpu_per_request));
            row.extend([
                number(o.cpu_per_request.total.low),
                number(o.cpu_per_request.total.high),
                value(&o.wall.p50),
                value(&o.wall.p95),
                value(&o.wall.p99),
                value(&o.alloc_bytes),
                value(&o.peak_live_max),
                value(&o.service_time_cs2),
                value(&o.arrival_dispersion),
                value(&o.cpu_cores),
                value(&o.cpu_share),
                value(&o.edge_error),
                value(&o.request_cpu.p50),
                value(&o.request_cpu.p99),
                value(&o.wait_call),
                value(&o.wait_store),
                value(&o.wait_other),
                value(&o.in_flight),
                value(&o.in_flight_max),
                value(&o.peak_live_mean),
                value(&o.alloc_count),
            ]);
            row.extend(o.retained.as_ref().map(interval).unwrap_or_default());
            table.row(&row);
        }
    }
    table.done()
}

fn owners(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "owners",
        &[
            "service",
            "owner_kind",
            "name",
            "cpu_ns",
            "share_of_process",
        ],
    );
    for s in &document.services {
        for o in &s.owners {
            table.row(&[
                s.service.clone(),
                o.owner_kind.clone(),
                o.name.clone(),
                value(&o.cpu.total),
                value(&o.share),
            ]);
        }
    }
    table.done()
}

fn origins(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "origins",
        &[
            "service",
            "operation",
            "rate_per_s",
            "cpu_ns_per_request",
            "handler_ns",
            "encode_ns",
            "decode_ns",
            "protocol_ns",
            "io_ns",
            "store_ns",
            "cpu_low_ns",
            "cpu_high_ns",
            "cores",
            "share",
            "overhead_ns_per_request",
            "overhead_share",
            "wall_p50_ns",
            "wall_p95_ns",
            "wall_p99_ns",
            "money_per_hour",
            "overhead_caller_ns",
            "overhead_callee_ns",
            "overhead_pool_ns",
            "overhead_broker_ns",
            "overhead_outside_ns",
        ],
    );
    for o in &document.origins {
        let mut row = vec![o.service.clone(), o.operation.clone(), value(&o.rate)];
        row.extend(classes(&o.unit_cost));
        row.extend([
            number(o.unit_cost.total.low),
            number(o.unit_cost.total.high),
            value(&o.cores),
            value(&o.share),
            value(&o.message_overhead.total),
            value(&o.message_overhead.share),
            value(&o.wall.p50),
            value(&o.wall.p95),
            value(&o.wall.p99),
            o.money.as_ref().map_or_else(String::new, value),
            value(&o.message_overhead.caller),
            value(&o.message_overhead.callee),
            value(&o.message_overhead.pool),
            value(&o.message_overhead.broker),
            value(&o.message_overhead.outside),
        ]);
        table.row(&row);
    }
    table.done()
}

fn edges(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "edges",
        &[
            "from_service",
            "from_operation",
            "to_service",
            "to_operation",
            "transport",
            "mode",
            "target",
            "broker",
            "calls",
            "rate_per_s",
            "calls_per_request",
            "overhead_ns_per_call",
            "overhead_low_ns",
            "overhead_high_ns",
            "caller_ns_per_call",
            "callee_ns_per_call",
            "broker_ns_per_message",
            "work_ns_per_call",
            "overhead_share",
            "overhead_cores",
            "request_messages_sent",
            "request_messages_received",
            "request_body_bytes_sent",
            "request_body_bytes_received",
            "response_messages_sent",
            "response_messages_received",
            "response_body_bytes_sent",
            "response_body_bytes_received",
            "request_messages_difference",
            "request_body_bytes_difference",
            "response_messages_difference",
            "response_body_bytes_difference",
            "wait_ns_per_call",
            "answer_wall_ns_per_call",
            "wire_ns_per_call",
            "critical_ns_per_call",
            "serial_share",
            "parallel_share",
            "detached_share",
            "lag_ns_per_message",
            "errors",
            "retries",
            "redelivered",
            "wire_bytes",
            "critical_share",
            "repeated_share",
        ],
    );
    for e in &document.edges {
        let [overhead, low, high] = interval(&e.overhead);
        let t = &e.traffic;
        table.row(&[
            e.from.service.clone(),
            e.from.operation.clone(),
            e.to.service.clone(),
            e.to.operation.clone(),
            e.transport.clone(),
            e.mode.clone(),
            e.target.clone(),
            e.broker.clone().unwrap_or_default(),
            value(&e.calls),
            value(&e.rate),
            value(&e.calls_per_request),
            overhead,
            low,
            high,
            value(&e.caller_cpu.total),
            value(&e.callee_cpu.total),
            e.broker_cpu.as_ref().map_or_else(String::new, value),
            value(&e.work),
            value(&e.overhead_share),
            value(&e.overhead_cores),
            value(&t.request_messages_sent),
            value(&t.request_messages_received),
            value(&t.request_body_bytes_sent),
            value(&t.request_body_bytes_received),
            value(&t.response_messages_sent),
            value(&t.response_messages_received),
            value(&t.response_body_bytes_sent),
            value(&t.response_body_bytes_received),
            value(&e.ends.request_messages),
            value(&e.ends.request_body_bytes),
            value(&e.ends.response_messages),
            value(&e.ends.response_body_bytes),
            value(&e.wait),
            value(&e.ends.answer_wall),
            value(&e.ends.wire),
            value(&e.shape.critical),
            value(&e.shape.serial),
            value(&e.shape.parallel),
            value(&e.shape.detached),
            value(&e.lag),
            value(&e.errors),
            value(&e.retries),
            value(&e.redelivered),
            value(&t.wire_bytes),
            value(&e.shape.critical_share),
            value(&e.shape.repeated),
        ]);
    }
    table.done()
}

fn entities(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "entities",
        &[
            "entity",
            "service",
            "database",
            "copy",
            "rows",
            "size_bytes",
            "operation",
            "access",
            "statements",
            "statements_per_request",
            "rows_touched",
            "cpu_store_ns",
            "reads_per_s",
            "writes_per_s",
            "multi_key_share",
        ],
    );
    for e in &document.entities {
        for p in &e.places {
            let place = vec![
                e.entity.clone(),
                p.service.clone(),
                p.database.clone(),
                p.copy.to_string(),
                value(&p.rows),
                value(&p.size),
            ];
            if p.uses.is_empty() {
                let mut row = place.clone();
                row.resize(12, String::new());
                row.extend([value(&p.reads), value(&p.writes), String::new()]);
                table.row(&row);
            }
            for u in &p.uses {
                let mut row = place.clone();
                row.extend([
                    u.operation.clone(),
                    u.access.clone(),
                    value(&u.statements),
                    value(&u.statements_per_request),
                    value(&u.rows),
                    value(&u.cpu_store),
                    value(&p.reads),
                    value(&p.writes),
                    value(&u.multi_key_share),
                ]);
                table.row(&row);
            }
        }
    }
    table.done()
}

fn capacity(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "capacity",
        &[
            "service",
            "load_factor",
            "cores",
            "cores_low",
            "cores_high",
            "utilisation",
            "replicas",
            "wait_ns",
            "turn_wait_ns",
            "serial_throughput_max",
            "extrapolated",
            "saturated",
            "memory_bytes",
            "money_per_hour",
        ],
    );
    for s in &document.capacity.services {
        for p in &s.points {
            let [cores, low, high] = interval(&p.cores);
            table.row(&[
                s.service.clone(),
                p.load_factor.to_string(),
                cores,
                low,
                high,
                value(&p.utilisation),
                value(&p.replicas),
                value(&p.wait),
                p.turn_wait.as_ref().map_or_else(String::new, value),
                s.serial
                    .as_ref()
                    .map_or_else(String::new, |serial| value(&serial.throughput_max)),
                p.extrapolated.to_string(),
                p.saturated.to_string(),
                value(&p.memory),
                p.money.as_ref().map_or_else(String::new, value),
            ]);
        }
    }
    // The sums, under no name of a service.
    let totals = document.capacity.load_factors.iter();
    for (factor, total) in totals.zip(&document.capacity.total_cores) {
        let [cores, low, high] = interval(total);
        let mut row = vec![String::new(), factor.to_string(), cores, low, high];
        row.resize(10, String::new());
        row.extend([(*factor > 1.0).to_string(), String::new()]);
        row.resize(14, String::new());
        table.row(&row);
    }
    table.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_an_empty_cell() {
        use crate::document::{FigureUnit, QualityWord};
        assert_eq!(value(&Figure::unknown(FigureUnit::Ns, "no row")), "");
        let zero = Figure::exact(0.0, FigureUnit::Ns, QualityWord::Measured);
        assert_eq!(value(&zero), "0");
    }

    #[test]
    fn s6_no_cell_is_taken_for_a_formula() {
        assert_eq!(quoted("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(quoted("+1+cmd"), "\"'+1+cmd\"");
        assert_eq!(quoted("@x"), "\"'@x\"");
        assert_eq!(quoted("-x"), "\"'-x\"");
        for cell in [
            "\tx",
            "\rx",
            "\n=1",
            " =1",
            "\u{feff}=1",
            "\u{200b}@x",
            "＝1",
            "-inf",
            "+1",
            "-1+2",
            "-",
            "=",
        ] {
            let shown = quoted(cell);
            assert!(shown.starts_with("\"'"), "{cell:?}: {shown:?}");
        }
        assert_eq!(quoted("-1.5e-7"), "-1.5e-7");
        assert_eq!(quoted("-12.5"), "-12.5", "a number stays a number");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("plain"), "plain");
    }
}
