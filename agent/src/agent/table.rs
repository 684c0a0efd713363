//! The table of costs that is printed without a collector: what most people see first.

mod lines;
mod regions;

use std::fmt::Write as _;

use weighbridge_wire::{
    ALL_CLASSES, DistributionKey, Histogram, OperationKey, OwnerKey, Quality, RowKind, RowSet,
    RowValue, column, scope,
};

use lines::Line;

use crate::ledger::WindowEnd;
use crate::ledger::limits::REGIONS_MAX;

/// Rows since init, folded: operations over callers and origins.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: RowSet,
    cpu_ns: i64,
    regions: usize,
}

const NAME_WIDTH: usize = 34;

impl Table {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A window whose rows were added has ended.
    pub(super) fn end_window(&mut self, end: &WindowEnd) {
        self.cpu_ns = end.process_cpu_ns;
    }

    /// Adds rows. What is kept is bounded by the limits on operations and owners.
    pub(super) fn add(&mut self, rows: &RowSet) {
        for (key, row) in rows.iter() {
            match RowKind::from_wire(key.kind) {
                Some(RowKind::Operation) => {
                    if let Some(parts) = OperationKey::read(key) {
                        let folded = OperationKey {
                            caller_service: "".into(),
                            caller_operation: "".into(),
                            origin_service: "".into(),
                            origin_operation: "".into(),
                            ..parts
                        };
                        self.rows.add(folded.row_key(key.quality), row);
                    }
                }
                Some(RowKind::Owner | RowKind::Process | RowKind::Loss | RowKind::Distribution) => {
                    self.rows.add(key.clone(), row);
                }
                // Regions come and go; those that were there first stay.
                Some(RowKind::Region)
                    if self.rows.get(key).is_some() || self.regions < REGIONS_MAX =>
                {
                    self.regions += usize::from(self.rows.get(key).is_none());
                    self.rows.add(key.clone(), row);
                }
                _ => {}
            }
        }
    }

    /// The table as text.
    pub(super) fn render(&self, service: &str) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, service);
        out
    }

    fn write(&self, out: &mut String, service: &str) -> std::fmt::Result {
        let process = self.process();
        let seconds = process.get(column::OBSERVED_NS).unwrap_or(0) / 1_000_000_000;
        writeln!(
            out,
            "\nweighbridge: what `{}` cost in {seconds} s, {} of CPU",
            visible(service),
            time(self.cpu_ns)
        )?;
        if self.rows.of_kind(RowKind::Operation).next().is_none() {
            writeln!(
                out,
                "\nno request was weighed: put `weighbridge_agent::layer()` on the router"
            )?;
        } else {
            self.write_operations(out)?;
            regions::write(&self.rows, out)?;
        }
        self.write_owners(out)?;
        write_conservation(out, &process)?;
        for (key, row) in self.rows.of_kind(RowKind::Loss) {
            let lost = row.get(column::LOST).unwrap_or(0);
            writeln!(
                out,
                "lost or folded: {lost} × {}",
                visible(&key.parts.join(", "))
            )?;
        }
        Ok(())
    }

    fn process(&self) -> RowValue {
        let mut sum = RowValue::new();
        self.rows
            .of_kind(RowKind::Process)
            .for_each(|(_, row)| sum.merge(row));
        sum
    }

    fn write_operations(&self, out: &mut String) -> std::fmt::Result {
        write!(
            out,
            "\n{:NAME_WIDTH$} {:>8} {:>7} {:>10}",
            "per ended request", "ended", "errors", "CPU"
        )?;
        for class in ALL_CLASSES {
            write!(out, " {:>9}", class.as_str())?;
        }
        writeln!(
            out,
            " {:>10} {:>10} {:>10}",
            "allocated", "peak", "p99 wall"
        )?;
        for (key, line) in self.operations() {
            let row = &line.row;
            let ended = row.get(column::ENDED).unwrap_or(0);
            let per = |value: i64| (ended > 0).then(|| value / ended);
            let name = match &*key.class {
                "" => key.operation.to_string(),
                class => format!("{} ({class})", key.operation),
            };
            let errors = row.get(column::ERRORS).unwrap_or(0);
            write!(
                out,
                "{:NAME_WIDTH$} {ended:>8} {errors:>7} {:>10}",
                fit(&name),
                or_dash(per(row.cpu_ns()), time)
            )?;
            for class in ALL_CLASSES {
                write!(
                    out,
                    " {:>9}",
                    or_dash(per(row.class_cpu_ns(class).unwrap_or(0)), time)
                )?;
            }
            let allocated = row
                .get(column::ALLOC_BYTES)
                .filter(|bytes| *bytes != 0)
                .and_then(per);
            let peak = row.get(column::PEAK_LIVE_BYTES).filter(|bytes| *bytes != 0);
            writeln!(
                out,
                " {:>10} {:>10} {:>10}{}",
                or_dash(allocated, bytes),
                or_dash(peak, bytes),
                or_dash(self.p99_wall(&key), time),
                line.not_measured()
            )?;
        }
        Ok(())
    }

    /// Operations, those that cost most first.
    fn operations(&self) -> Vec<(OperationKey, Line)> {
        lines::of(&self.rows, RowKind::Operation, OperationKey::read)
    }

    fn p99_wall(&self, operation: &OperationKey) -> Option<i64> {
        let key = DistributionKey {
            component: operation.component.clone(),
            operation: operation.operation.clone(),
            class: operation.class.clone(),
            scope: scope::ALL.into(),
        };
        let mut wall = Histogram::default();
        // Wall time is measured whatever the quality of the CPU time in the same row.
        for quality in [Quality::Measured, Quality::Apportioned] {
            let row = self.rows.get(&key.clone().row_key(quality));
            if let Some(part) = row.and_then(|row| row.histogram(column::HIST_WALL_NS)) {
                wall.merge(part);
            }
        }
        i64::try_from(wall.quantile(0.99)?).ok()
    }

    fn write_owners(&self, out: &mut String) -> std::fmt::Result {
        let mut requests = Line::default();
        self.operations()
            .iter()
            .for_each(|(_, line)| requests.add_cpu(line));
        let mut rows = vec![("requests".to_owned(), requests)];
        rows.append(&mut lines::of(&self.rows, RowKind::Owner, |key| {
            let key = OwnerKey::read(key)?;
            Some(if key.owner_kind == key.name {
                key.name.to_string()
            } else {
                format!("{} {}", key.owner_kind, key.name)
            })
        }));
        writeln!(
            out,
            "\n{:NAME_WIDTH$} {:>10} {:>8}",
            "owner", "CPU", "share"
        )?;
        for (name, line) in rows {
            let cpu_ns = line.cpu_ns();
            let tenths = if self.cpu_ns > 0 {
                cpu_ns.saturating_mul(1_000) / self.cpu_ns
            } else {
                0
            };
            let sign = if tenths < 0 { "-" } else { "" };
            let share = format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10);
            writeln!(
                out,
                "{:NAME_WIDTH$} {:>10} {share:>8}{}",
                fit(&name),
                time(cpu_ns),
                line.not_measured()
            )?;
        }
        Ok(())
    }
}

fn write_conservation(out: &mut String, process: &RowValue) -> std::fmt::Result {
    let figure = |column| process.get(column).unwrap_or(0);
    writeln!(
        out,
        "\naccounts {} ns + in progress {} ns + unattributed {} ns = process {} ns",
        figure(column::CPU_ACCOUNTS_NS),
        figure(column::CPU_IN_PROGRESS_NS),
        figure(column::CPU_UNATTRIBUTED_NS),
        figure(column::CPU_PROCESS_NS),
    )?;
    let gauge = |column| or_dash(process.get(column), bytes);
    writeln!(
        out,
        "resident: {} at init, {} at most (kernel's peak {})",
        gauge(column::RSS_INIT_BYTES),
        gauge(column::RSS_BYTES),
        gauge(column::RSS_PEAK_BYTES),
    )
}

fn or_dash(value: Option<i64>, show: fn(i64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// Paths and topics come from outside; each stands in a line.
fn visible(name: &str) -> String {
    weighbridge_wire::visible(name, &[])
}

fn fit(name: &str) -> String {
    let name = visible(name);
    if name.chars().count() <= NAME_WIDTH {
        return name;
    }
    name.chars().take(NAME_WIDTH - 1).chain(['…']).collect()
}

/// Three digits and a unit.
fn scaled(value: i64, units: &[(&'static str, i64)]) -> String {
    let size = value.unsigned_abs();
    let (unit, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| size >= factor.unsigned_abs())
        .or(units.first())
        .copied()
        .unwrap_or(("", 1));
    let sign = if value < 0 { "-" } else { "" };
    let factor = factor.unsigned_abs();
    let whole = size / factor;
    if factor == 1 || whole >= 100 {
        format!("{sign}{whole} {unit}")
    } else if whole >= 10 {
        format!("{sign}{whole}.{} {unit}", size % factor * 10 / factor)
    } else {
        format!("{sign}{whole}.{:02} {unit}", size % factor * 100 / factor)
    }
}

fn time(ns: i64) -> String {
    scaled(
        ns,
        &[
            ("ns", 1),
            ("µs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
        ],
    )
}

fn bytes(bytes: i64) -> String {
    scaled(
        bytes,
        &[
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
        ],
    )
}

#[cfg(test)]
mod tests;
