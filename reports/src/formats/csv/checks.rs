//! Tables of what adds up, what was lost, and how time was read.

use super::{CsvTable, Table, by_columns, value, whole};
use crate::Document;

/// Every account of each service, and what their sum is held against.
pub(super) fn accounts(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "conservation",
        &[
            "service",
            "kind",
            "name",
            "cpu_ns",
            "share_of_process",
            "handler_ns",
            "encode_ns",
            "decode_ns",
            "protocol_ns",
            "io_ns",
            "store_ns",
        ],
    );
    for s in &document.conservation.services {
        for a in &s.accounts {
            table.row(&[
                s.service.clone(),
                a.kind.clone(),
                a.name.clone(),
                a.cpu_ns.to_string(),
                value(&a.share),
                whole(a.handler_ns),
                whole(a.encode_ns),
                whole(a.decode_ns),
                whole(a.protocol_ns),
                whole(a.io_ns),
                whole(a.store_ns),
            ]);
        }
        for (kind, ns) in [
            ("accounts", Some(s.accounts_cpu_ns)),
            ("in progress", s.in_progress_ns),
            ("sum", s.sum_ns),
            ("process by the kernel", s.process_cpu_ns),
            ("difference", s.difference_ns),
        ] {
            let mut row = vec![s.service.clone(), kind.to_owned(), String::new(), whole(ns)];
            row.resize(11, String::new());
            table.row(&row);
        }
    }
    table.done()
}

/// The sum check of each service.
pub(super) fn sums(document: &Document) -> CsvTable {
    by_columns(
        "conservation_sums",
        &document.conservation.services,
        &[
            ("service", &|s| s.service.clone()),
            ("accounts_cpu_ns", &|s| s.accounts_cpu_ns.to_string()),
            ("in_progress_ns", &|s| whole(s.in_progress_ns)),
            ("sum_ns", &|s| whole(s.sum_ns)),
            ("process_cpu_ns", &|s| whole(s.process_cpu_ns)),
            ("difference_ns", &|s| whole(s.difference_ns)),
            ("unexplained_share", &|s| value(&s.unexplained_share)),
        ],
    )
}

/// The sum check of each process.
pub(super) fn processes(document: &Document) -> CsvTable {
    let rows = document
        .conservation
        .services
        .iter()
        .flat_map(|service| service.processes.iter().map(move |p| (service, p)));
    by_columns(
        "conservation_processes",
        rows,
        &[
            ("service", &|(s, _)| s.service.clone()),
            ("instance", &|(_, p)| p.instance.clone()),
            ("epoch", &|(_, p)| p.epoch.clone()),
            ("accounts_cpu_ns", &|(_, p)| whole(p.accounts_cpu_ns)),
            ("in_progress_ns", &|(_, p)| whole(p.in_progress_ns)),
            ("unattributed_ns", &|(_, p)| whole(p.unattributed_ns)),
            ("process_cpu_ns", &|(_, p)| whole(p.process_cpu_ns)),
            ("difference_ns", &|(_, p)| whole(p.difference_ns)),
        ],
    )
}

/// Messages and bytes sent against those received.
pub(super) fn sent_received(document: &Document) -> CsvTable {
    by_columns(
        "sent_received",
        &document.conservation.edges,
        &[
            ("call", &|e| e.name.clone()),
            ("transport", &|e| e.transport.clone()),
            ("what", &|e| e.what.clone()),
            ("sent", &|e| whole(e.sent)),
            ("received", &|e| whole(e.received)),
            ("difference", &|e| whole(e.difference)),
        ],
    )
}

/// What was dropped, folded or refused.
pub(super) fn losses(document: &Document) -> CsvTable {
    by_columns(
        "losses",
        &document.conservation.losses,
        &[
            ("service", &|l| l.service.clone()),
            ("place", &|l| l.place.clone()),
            ("reason", &|l| l.reason.clone()),
            ("lost", &|l| whole(l.lost)),
            ("lost_cpu_ns", &|l| whole(l.lost_cpu_ns)),
        ],
    )
}

/// How CPU time was read.
pub(super) fn clocks(document: &Document) -> CsvTable {
    by_columns(
        "clocks",
        &document.quality.clocks,
        &[
            ("service", &|c| c.service.clone()),
            ("mode", &|c| c.mode.clone()),
            ("readings", &|c| value(&c.readings)),
        ],
    )
}
